"""A real worker process without an engine, for messages that need no model: those that end in quarantine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kombu import Connection, Queue

from tests.conftest import wait_for
from workers.config import Config
from workers.health import worker_problem
from workers.lanes import CLASSIFY
from workers.stack.connection import environment_of

PROGRAM = """
from workers.app import make_app
from workers.config import load_config
from workers.engine.bootstep import EngineStep
from workers.logs import set_up_logging
set_up_logging("DEBUG")
app = make_app(load_config())
app.steps["worker"].discard(EngineStep)  # it would wait for an engine
app.worker_main(["worker", "-Q", "live", "-c", "2", "-l", "DEBUG", "--without-gossip", "--without-mingle"])
"""


@contextmanager
def modelless_worker(config: Config, log: Path, environment: Mapping[str, str] | None = None) -> Iterator[Path]:
    """Two children on the lane live, logging all there is; its log. `environment` over that of these settings."""
    alone = {"LIVERISK__RUNS__START_FEEDER": "external"}
    variables = {**os.environ, **environment_of(config), **alone, **(environment or {})}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        wait_for(lambda: worker_problem(config, reply_s=1) is None, f"the worker answers ({log})", timeout_s=120)
        yield log
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def send_no_manifests(url: str, count: int, **connection: object) -> None:
    """Messages of no known kind, as any Celery client writes them: children put them aside as they write records."""
    with Connection(url, **connection) as opened:
        for number in range(count):
            headers = {"lang": "py", "task": CLASSIFY, "id": str(number), "root_id": str(number)}
            body = [[{"schema": "other", "number": number}], {}, {}]
            queue = Queue("live", no_declare=True)
            opened.Producer().publish(body, routing_key=queue.name, headers=headers, serializer="json")
