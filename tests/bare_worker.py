"""A real worker with its feeder and no engine: for what needs no model, as messages that are no manifests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import wait_for
from workers.config import Config
from workers.quarantine import Entry, entries
from workers.stack.connection import environment_of
from workers.status import read_status
from workers.storage import Storage

PROGRAM = """
from workers.app import make_app
from workers.broker.checks import check_broker
from workers.config import load_config
from workers.engine.bootstep import EngineStep
config = load_config()
check_broker(config)
app = make_app(config)
app.steps["worker"].discard(EngineStep)  # it would wait for an engine
app.worker_main(["worker", "-Q", "live,review,rescan", "-c", "2", "--without-gossip", "--without-mingle"])
"""

DEMANDS = {
    "eta": "2100-01-01T00:00:00+00:00",
    "expires": "2001-01-01T00:00:00+00:00",
    "timelimit": [1, 1],
    "retries": 1000,
    "ignore_result": False,
    "shadow": "liverisk.another",
    "group": "one",
}
"""What a sender can say to Celery of when, for how long and whether at all its task is to run."""

ANOTHER: dict[str, Any] = {"task": "other.task", "args": [], "kwargs": {}, "options": {"queue": "elsewhere"}}
DEMANDING_BODY: tuple[Any, ...] = (
    [{"schema": "other", "of": "somebody with demands"}],
    {},
    {"callbacks": [ANOTHER], "errbacks": [ANOTHER], "chain": [ANOTHER], "chord": None, "live": True},
)
"""No manifest, and what its sender wants the worker to send when it is done with it."""

NO_TASK_BODIES = (
    b"null",
    b"7",
    b'"abc"',
    b"[]",
    b"[[], {}]",
    b"[[], {}, {}, {}]",
    b"[{}, [], {}]",
    b'{"args": [], "kwargs": {}, "id": "1"}',
    b"{not json",
)


@contextmanager
def bare_worker(config: Config, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serves every lane with two children, and has answered."""
    environment = {**os.environ, **environment_of(config)}
    command = [sys.executable, "-c", PROGRAM]
    with log.open("wb") as written:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=written, stderr=written)
    try:
        wait_for(lambda: len(read_status(config).workers or ()) == 1, "the worker answers", timeout_s=120)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def put_aside(storage: Storage, count: int) -> list[Entry]:
    """The entries in quarantine, once there are so many."""
    wait_for(lambda: sum(1 for _ in entries(storage)) >= count, f"{count} messages are in quarantine", timeout_s=60)
    return [entry for _, entry in entries(storage)]
