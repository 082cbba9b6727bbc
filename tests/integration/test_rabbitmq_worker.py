"""A real worker and its feeder on a real RabbitMQ, with what needs no model: no manifests, broken wires."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kombu import Connection, Queue

from tests.bare_worker import bare_worker, put_aside
from tests.cuts import Wire
from tests.rabbitmq import RabbitMQ
from workers.broker.settings import Broker, State
from workers.config import Config
from workers.lanes import CLASSIFY, LANES
from workers.storage import Storage


@pytest.fixture
def wire(rabbitmq: RabbitMQ) -> Iterator[Wire]:
    opened = Wire(rabbitmq.port)
    yield opened
    opened.close()


@pytest.fixture
def rabbit(config: Config, rabbitmq: RabbitMQ, wire: Wire) -> Config:
    assert config.broker.url is not None
    url = rabbitmq.own_url().replace(f":{rabbitmq.port}/", f":{wire.port}/")
    broker = Broker.model_validate({"url": url})
    return config.model_copy(update={"broker": broker, "state": State(url=config.broker.url)})


@pytest.fixture
def worker(rabbit: Config, storage: Storage, state_directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    with bare_worker(rabbit, state_directory / "worker.log") as process:
        yield process


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
    word = "a secret word"
    send(rabbit, "live", {"said": word}, {})
    send(rabbit, "review", [[{"said": word}], {}, {}], {"task": "other.task", "id": "1"})
    send(rabbit, "live", [[{"said": f"{word}, by nobody"}], {}, {}], {"task": CLASSIFY})
    send(rabbit, "live", [[{"said": f"{word}, for a list"}], {}, {}], {"task": [CLASSIFY], "id": "2"})
    found = put_aside(storage, 4)
    assert {entry.reason for entry in found} == {"no_task"}
    assert all(word in entry.message for entry in found)
    assert worker.poll() is None
    assert word not in (state_directory / "worker.log").read_text()
