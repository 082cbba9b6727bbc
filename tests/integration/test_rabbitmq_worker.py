"""A real worker and its feeder on a real RabbitMQ, with what needs no model: no manifests, broken wires."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from kombu import Connection, Queue

from pipelines.manifest import parse_manifest
from tests.bare_worker import DEMANDING_BODY, DEMANDS, bare_worker, put_aside
from tests.conftest import wait_for
from tests.cuts import Wire
from tests.rabbitmq import RabbitMQ
from tests.segments import CHAT_ONLY
from workers.broker.dead import bury
from workers.broker.queues import queues_of
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


def send(config: Config, lane: str, body: object, headers: Mapping[str, object], **properties: object) -> None:
    """As a client does that knows RabbitMQ and the documentation, and nothing of ours."""
    assert config.broker.url is not None
    with Connection(config.broker.url.get_secret_value(), transport_options={"confirm_publish": True}) as connection:
        lane_queue = Queue(lane, no_declare=True)
        told = {"routing_key": lane_queue.name, "headers": dict(headers), "serializer": "json", **properties}
        connection.Producer().publish(body, **told)


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
    send(rabbit, "live", [[{"said": f"{word}, and no third part"}], {}], {"task": CLASSIFY, "id": "3"})
    found = put_aside(storage, 5)
    assert {entry.reason for entry in found} == {"no_task"}
    assert all(word in entry.message for entry in found)
    assert worker.poll() is None
    assert word not in (state_directory / "worker.log").read_text()


def test_what_a_sender_wants_of_celery_does_not_happen(
    rabbit: Config, worker: subprocess.Popen[bytes], storage: Storage
) -> None:
    send(rabbit, "live", DEMANDING_BODY, {"task": CLASSIFY, "id": "1", **DEMANDS})
    (found,) = put_aside(storage, 1)
    assert (found.reason, json.loads(found.message)) == ("manifest", DEMANDING_BODY[0][0])
    assert worker.poll() is None


def test_what_a_sender_lets_expire_goes_to_quarantine(rabbit: Config, storage: Storage, state_directory: Path) -> None:
    queues = queues_of(rabbit)
    try:
        queues.version()  # declares the lanes
        send(rabbit, "rescan", [[CHAT_ONLY.as_message()], {}, {}], {"task": CLASSIFY, "id": "1"}, expiration=0.001)
        wait_for(queues.put_aside, "RabbitMQ took it out of its lane")
        assert bury(queues, storage, delivery_limit=20) == 1
    finally:
        queues.close()
    (found,) = put_aside(storage, 1)
    assert (found.reason, parse_manifest(found.message)) == ("expired", CHAT_ONLY)
