"""The health check of containers, asked of a real broker, a real worker and a real engine socket."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import WaitUntil
from workers.config import Config
from workers.health import engine_problem, worker_problem

BARE_WORKER = """
import sys
from celery import Celery
app = Celery(broker=sys.stdin.readline().strip(), set_as_current=False)
app.worker_main(["worker", "--pool=solo", "--hostname=probe@here", "--without-gossip", "--without-mingle"])
"""


@contextmanager
def bare_worker(config: Config) -> Iterator[None]:
    """A Celery worker that knows nothing of liverisk, as host `here`."""
    assert config.broker.url is not None
    command = [sys.executable, "-c", BARE_WORKER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as child:
        try:
            assert child.stdin is not None
            child.stdin.write(f"{config.broker.url.get_secret_value()}\n".encode())
            child.stdin.flush()
            yield
        finally:
            child.kill()


def test_a_worker_that_hears_the_broker_is_well(config: Config, wait_until: WaitUntil) -> None:
    with bare_worker(config):
        wait_until(lambda: worker_problem(config, host="here", reply_s=1) is None, "the worker of `here` answers")


def test_a_worker_of_another_host_does_not_vouch_for_this_one(config: Config, wait_until: WaitUntil) -> None:
    with bare_worker(config):
        wait_until(lambda: worker_problem(config, host="here", reply_s=1) is None, "the worker of `here` answers")

        assert worker_problem(config, host="there", reply_s=1) == "no worker of there answered within 1 s"


def test_an_engine_that_is_not_there_is_named_with_its_address(config: Config, state_directory: Path) -> None:
    problem = engine_problem(config)

    assert problem is not None
    assert str(state_directory / "engine.sock") in problem


def test_the_command_ends_with_one_line_and_exit_code_1(state_directory: Path) -> None:
    address = str(state_directory / "none.sock")
    done = subprocess.run(
        [sys.executable, "-m", "workers.health", "engine"],
        env={"LIVERISK__ENGINE__ADDRESS": address},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert address in done.stderr
