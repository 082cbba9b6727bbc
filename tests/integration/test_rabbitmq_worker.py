"""A real worker and its feeder on a real RabbitMQ, with what needs no model: no manifests, broken wires."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kombu import Connection, Queue

from tests.conftest import wait_for
from tests.cuts import Wire
from tests.rabbitmq import RabbitMQ
from workers.broker.connecting import connect_rabbit
from workers.broker.declared import DEAD
from workers.broker.settings import Broker, State
from workers.config import Config
from workers.lanes import CLASSIFY, LANES
from workers.quarantine import Entry, entries
from workers.stack.connection import environment_of
from workers.status import read_status
from workers.storage import Storage

WORKER = """
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


@pytest.fixture
def wire(rabbitmq: RabbitMQ) -> Iterator[Wire]:
    opened = Wire(rabbitmq.port)
    yield opened
    opened.close()


@pytest.fixture
def rabbit(config: Config, rabbitmq: RabbitMQ, wire: Wire) -> Iterator[Config]:
    assert config.broker.url is not None
    url = rabbitmq.url.replace(f":{rabbitmq.port}/", f":{wire.port}/")
    broker = Broker.model_validate({"url": url})
    yield config.model_copy(update={"broker": broker, "state": State(url=config.broker.url)})
    with connect_rabbit(Broker.model_validate({"url": rabbitmq.url})) as connection:
        for queue in (*LANES, DEAD):
            connection.default_channel.queue_delete(queue)


@pytest.fixture
def worker(rabbit: Config, storage: Storage, state_directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Serves every lane with two children; there is no engine."""
    environment = {**os.environ, **environment_of(rabbit)}
    command = [sys.executable, "-c", WORKER]
    with (state_directory / "worker.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        wait_for(lambda: len(read_status(rabbit).workers or ()) == 1, "the worker answers", timeout_s=120)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()


def send(config: Config, lane: str, body: object, headers: Mapping[str, object]) -> None:
    """As a client does that knows RabbitMQ and the documentation, and nothing of ours."""
    assert config.broker.url is not None
    with Connection(config.broker.url.get_secret_value(), transport_options={"confirm_publish": True}) as connection:
        lane_queue = Queue(lane, no_declare=True)
        connection.Producer().publish(body, routing_key=lane_queue.name, headers=dict(headers), serializer="json")


def manifest(config: Config, lane: str, number: int) -> None:
    """A manifest of no known kind: a child looks at it and puts it aside, models or no models."""
    headers = {"lang": "py", "task": CLASSIFY, "id": f"{lane}-{number}", "root_id": f"{lane}-{number}"}
    send(config, lane, [[{"schema": "other", "number": number}], {}, {}], headers)


def put_aside(storage: Storage, count: int) -> list[Entry]:
    wait_for(lambda: sum(1 for _ in entries(storage)) >= count, f"{count} messages are in quarantine", timeout_s=60)
    return [entry for _, entry in entries(storage)]


def test_a_worker_takes_from_every_lane_and_again_after_its_connections_broke(
    rabbit: Config, worker: subprocess.Popen[bytes], wire: Wire, storage: Storage
) -> None:
    for number, lane in enumerate(LANES):
        manifest(rabbit, lane, number)
    assert {entry.lane for entry in put_aside(storage, 3)} == set(LANES)
    for number in (3, 4):
        assert wire.cut() > 0
        manifest(rabbit, "live", number)
        assert len(put_aside(storage, number + 1)) == number + 1


def test_what_is_no_task_is_brought_to_quarantine_by_the_feeder_and_stands_in_no_log(
    rabbit: Config, worker: subprocess.Popen[bytes], storage: Storage, state_directory: Path
) -> None:
    send(rabbit, "live", {"said": "a secret word"}, {})
    send(rabbit, "review", [[{"said": "a secret word"}], {}, {}], {"task": "other.task", "id": "1"})
    found = put_aside(storage, 2)
    assert {entry.reason for entry in found} == {"no_task"}
    assert all("a secret word" in entry.message for entry in found)
    assert "a secret word" not in (state_directory / "worker.log").read_text()
