"""The health check of containers, asked of a real broker, a real worker and a real engine socket."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.conftest import WaitUntil
from workers import health
from workers.config import Config
from workers.health import engine_problem, feeder_problem, worker_problem
from workers.lanes import CLASSIFY, CONCLUDE
from workers.runs.lease import FEEDER_KEY, Lease

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


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    """What the worker of this host answers to each question: that it serves the lane live, and does nothing."""
    answers: dict[str, list[dict[str, Any]]] = {"active": [], "active_queues": [{"name": "live"}]}
    monkeypatch.setattr(health, "_ask", lambda app, question, pattern, reply_s: ("liverisk-1@here", answers[question]))
    return answers


def waits(broker: redis.Redis, lane: str, seconds: float) -> None:
    """A message that came so long ago, as it lies in Redis."""
    headers = {"queued_at": time.time() - seconds}
    broker.lpush(lane, json.dumps({"body": "", "headers": headers, "properties": {}}))


def test_a_worker_that_leaves_a_message_lie_while_it_has_nothing_to_do_is_not_well(
    config: Config, broker: redis.Redis, says: dict[str, list[dict[str, Any]]]
) -> None:
    waits(broker, "live", 90)

    problem = worker_problem(config)

    assert problem is not None
    assert "takes nothing, though a message of live has waited for 9" in problem


@pytest.mark.parametrize(("lane", "seconds"), [("live", 20), ("rescan", 900)])
def test_a_message_that_came_a_moment_ago_or_is_for_others_says_nothing_of_a_worker(
    lane: str, seconds: float, config: Config, broker: redis.Redis, says: dict[str, list[dict[str, Any]]]
) -> None:
    waits(broker, lane, seconds)

    assert worker_problem(config) is None


def test_a_worker_that_is_at_something_may_let_others_wait(
    config: Config, broker: redis.Redis, says: dict[str, list[dict[str, Any]]]
) -> None:
    waits(broker, "live", 90)
    says["active"] = [{"name": CLASSIFY, "time_start": time.time() - 20}]

    assert worker_problem(config) is None


def test_a_worker_whose_child_outlives_its_time_limit_is_not_well(
    config: Config, says: dict[str, list[dict[str, Any]]]
) -> None:
    says["active"] = [{"name": CLASSIFY, "time_start": time.time() - config.worker.time_limit_s - 40}]

    problem = worker_problem(config)

    assert problem is not None
    assert "beyond its limit of 55 s" in problem


def test_work_on_a_run_may_take_longer(config: Config, says: dict[str, list[dict[str, Any]]]) -> None:
    says["active"] = [{"name": CONCLUDE, "time_start": time.time() - config.worker.time_limit_s - 40}]

    assert worker_problem(config) is None


def test_without_a_feeder_at_work_none_is_well(config: Config, broker: redis.Redis) -> None:
    assert feeder_problem(config) == "no feeder works"

    Lease(broker, FEEDER_KEY, 10).hold()

    assert feeder_problem(config) is None
