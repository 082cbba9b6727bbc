"""Lanes on a real RabbitMQ: order, depth, age, taking back, giving up; and refusals in one line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import redis
from celery._state import _task_stack
from celery.exceptions import Ignore
from pydantic import SecretStr

from pipelines.manifest import parse_manifest
from tests.conftest import wait_for
from tests.rabbitmq import RabbitMQ
from tests.records import record
from tests.segments import CHAT_ONLY as MANIFEST
from workers.app import make_app
from workers.broker.checks import check_broker
from workers.broker.connecting import connect_rabbit
from workers.broker.dead import bury
from workers.broker.declared import DEAD, lane_queues
from workers.broker.letters import Letter
from workers.broker.putting_back import put_back
from workers.broker.queues import RabbitQueues, note_lane, open_queues, queues_of
from workers.broker.settings import Broker, State
from workers.broker.takers import RabbitTaker
from workers.config import Config, ConfigError
from workers.lanes import CLASSIFY
from workers.privacy.purge import purge_stream, purge_user
from workers.publish import Publisher, PublishError
from workers.quarantine import entries
from workers.records import write_record
from workers.runs.reexamination import Starved
from workers.status import read_status
from workers.storage import Storage, StorageError


@pytest.fixture
def rabbit(config: Config, rabbitmq: RabbitMQ) -> Config:
    """The test's settings with RabbitMQ as broker, and queues of the test's own there; state stays in Valkey."""
    assert config.broker.url is not None
    broker = Broker(url=SecretStr(rabbitmq.own_url()))
    return config.model_copy(update={"broker": broker, "state": State(url=config.broker.url)})


@pytest.fixture
def queues(rabbit: Config) -> Iterator[RabbitQueues]:
    opened = queues_of(rabbit)
    assert isinstance(opened, RabbitQueues)
    opened.look()
    yield opened
    opened.close()


def at(config: Config, url: str) -> Config:
    return config.model_copy(update={"broker": Broker(url=SecretStr(url), socket_timeout_s=3)})


def test_what_was_sent_waits_in_its_lane_and_status_counts_it(
    rabbit: Config, queues: RabbitQueues, storage: Storage
) -> None:
    with Publisher(rabbit) as publisher:
        publisher.check()
        publisher.send(MANIFEST)
        publisher.send(MANIFEST, "rescan")
        publisher.send(MANIFEST, "rescan")
    found = read_status(rabbit)
    assert found.broker.detail.startswith("RabbitMQ 3.")
    assert {lane.name: lane.waiting for lane in found.lanes} == {"live": 1, "review": 0, "rescan": 2}
    assert (found.put_aside, found.workers) == (0, ())


def test_messages_are_taken_in_the_order_of_the_lanes_and_no_more_than_there_is_room_for(
    rabbit: Config, queues: RabbitQueues
) -> None:
    sent = ("rescan", "review", "live", "rescan", "live")
    with Publisher(rabbit) as publisher:
        for lane in sent:
            publisher.send(MANIFEST, lane)  # type: ignore[arg-type]  # one of the three
    taken: list[str] = []
    with connect_rabbit(rabbit.broker) as connection:
        taker = RabbitTaker(
            connection,
            lane_queues(rabbit.broker),
            hub=SimpleNamespace(),
            room=lambda: 4 - len(taken),
            on_message=lambda message: taken.append(message.delivery_info["routing_key"]),
        )
        assert taker.take() == 4
        assert taken == ["live", "live", "review", "rescan"]
        assert taker.take() == 0
        assert queues.waiting("rescan") == 1


def test_only_the_messages_of_one_run_are_withdrawn_and_the_rest_stays_as_it_was(
    rabbit: Config, queues: RabbitQueues, broker: redis.Redis
) -> None:
    with Publisher(rabbit) as publisher:
        for index in range(3):
            publisher.send_reexamine("rescan-a", 1, index, "rescan")
            publisher.send_reexamine("rescan-b", 1, index, "rescan")
    broker.set("liverisk:running:rescan-a/2/7", 1, ex=60)
    assert queues.under_way("rescan", "rescan-a") == {f"rescan-a/1/{index}" for index in range(3)} | {"rescan-a/2/7"}
    assert queues.withdraw("rescan", "rescan-a") == 3
    assert queues.under_way("rescan", "rescan-a") == {"rescan-a/2/7"}
    assert queues.under_way("rescan", "rescan-b") == {f"rescan-b/1/{index}" for index in range(3)}
    assert queues.waiting("rescan") == 3


def test_going_through_a_lane_again_and_again_is_no_delivery(rabbit: Config, queues: RabbitQueues) -> None:
    with Publisher(rabbit) as publisher:
        publisher.send_reexamine("rescan-a", 1, 0, "rescan")
    for _ in range(rabbit.broker.delivery_limit + 2):
        assert queues.under_way("rescan", "rescan-a") == {"rescan-a/1/0"}
    assert queues.put_aside() == 0


def test_what_waits_is_younger_than_what_was_taken_last_and_than_the_last_empty_lane(
    rabbit: Config, queues: RabbitQueues, broker: redis.Redis
) -> None:
    with Publisher(rabbit) as publisher:
        publisher.send(MANIFEST)
    broker.delete("liverisk:lane:live")
    assert queues.oldest_s("live") is None
    note_lane(broker, "live", "empty", time.time() - 90)
    assert queues.oldest_s("live") == pytest.approx(90, abs=10)
    note_lane(broker, "live", "taken", time.time() - 30)
    assert queues.oldest_s("live") == pytest.approx(30, abs=10)
    assert queues.oldest_s("review") is None


def test_a_lane_that_is_gone_is_an_error_of_its_sender_who_declares_it_anew(
    rabbit: Config, queues: RabbitQueues
) -> None:
    with Publisher(rabbit) as publisher:
        publisher.send(MANIFEST)
        with connect_rabbit(rabbit.broker) as connection:
            connection.default_channel.queue_delete("live")
        with pytest.raises(PublishError, match="the lane is gone"):
            publisher.send(MANIFEST)
        publisher.send(MANIFEST, "rescan")
        for _ in range(2):
            publisher.send(MANIFEST)
    assert (queues.waiting("live"), queues.waiting("rescan")) == (2, 1)


def test_what_a_worker_puts_back_is_sent_anew_and_its_message_is_done(rabbit: Config, queues: RabbitQueues) -> None:
    app = make_app(rabbit)
    task = app.tasks[CLASSIFY]
    _task_stack.push(task)
    task.push_request(id="room/s1/live", args=[MANIFEST.as_message()], kwargs={}, run="live", queued_at=12.5)
    try:
        with pytest.raises(Ignore, match=r"^Starved$"):
            put_back(app, rabbit.broker, Starved(), "rescan")
    finally:
        task.pop_request()
        _task_stack.pop()
        app.close()
    [again] = queues.sift("rescan", lambda _: True, stays=True)
    assert (again.headers["id"], again.headers["run"], again.headers["queued_at"]) == ("room/s1/live", "live", 12.5)
    assert again.given() == MANIFEST.as_message()


def test_a_purge_takes_the_messages_of_a_stream_out_of_the_lanes_and_leaves_the_others(
    rabbit: Config, queues: RabbitQueues, storage: Storage, broker: redis.Redis
) -> None:
    other = MANIFEST.model_copy(update={"stream_id": "other"})
    with Publisher(rabbit) as publisher:
        for sent in (MANIFEST, other, MANIFEST):
            publisher.send(sent)
        publisher.send_review(MANIFEST.stream_id)
        publisher.send_review("other")
    assert purge_stream(rabbit, storage, broker, "room", dry_run=True).removed == {"waiting messages": 3}
    assert (queues.waiting("live"), queues.waiting("review")) == (3, 2)
    done = purge_stream(rabbit, storage, broker, "room")
    assert (done.removed, done.left) == ({"waiting messages": 3}, [])
    assert (queues.waiting("live"), queues.waiting("review")) == (1, 1)
    assert purge_user(rabbit, storage, broker, "viewer").left == [
        "2 messages wait or are being worked on: purge again when they are recorded"
    ]


def rejected(config: Config, *, requeue: bool) -> None:
    """What a worker does that dies with the message, or refuses it, until it is gone from the lane."""
    with connect_rabbit(config.broker) as connection:
        channel = connection.default_channel
        while (message := channel.basic_get("live")) is not None:
            channel.basic_reject(message.delivery_tag, requeue=requeue)


def test_a_message_that_was_delivered_too_often_goes_to_quarantine_with_its_manifest(
    rabbit: Config, queues: RabbitQueues, storage: Storage
) -> None:
    with Publisher(rabbit) as publisher:
        publisher.send(MANIFEST)
    rejected(rabbit, requeue=True)
    wait_for(lambda: queues.put_aside() == 1, "it is in the dead queue")
    assert bury(queues, storage, delivery_limit=rabbit.broker.delivery_limit) == 1
    [(name, entry)] = entries(storage)
    assert (name, entry.reason, entry.lane) == ("room/s1/live", "delivery_limit", "live")
    assert entry.attempts == rabbit.broker.delivery_limit + 1
    assert parse_manifest(entry.message) == MANIFEST
    assert queues.put_aside() == 0


def test_what_cannot_be_brought_to_quarantine_waits_however_often_it_is_tried(
    rabbit: Config, queues: RabbitQueues, storage: Storage
) -> None:
    def away(_: Letter) -> None:
        raise StorageError("away")

    with Publisher(rabbit) as publisher:
        publisher.send(MANIFEST, "live")
    rejected(rabbit, requeue=False)
    wait_for(lambda: queues.put_aside() == 1, "it is in the dead queue")
    for _ in range(3):
        with pytest.raises(StorageError):
            queues.take_dead(away)
    with connect_rabbit(rabbit.broker) as connection:
        message = connection.default_channel.basic_get(DEAD)
        assert not message.properties["application_headers"].get("x-delivery-count")
    counted: list[str] = []
    bury(queues, storage, delivery_limit=rabbit.broker.delivery_limit, count=counted.append)
    [(_, entry)] = entries(storage)
    assert (entry.reason, entry.lane, counted) == ("no_task", "live", ["no_task"])


def test_a_segment_whose_last_delivery_left_its_record_needs_no_quarantine(
    rabbit: Config, queues: RabbitQueues, storage: Storage
) -> None:
    there = record(0)
    write_record(storage, there)
    again = MANIFEST.model_copy(
        update={"stream_id": there.stream_id, "segment_id": there.segment_id, "captured_at": there.captured_at}
    )
    with Publisher(rabbit) as publisher:
        publisher.send(again)
        publisher.send_reexamine("rescan-a", 1, 0, "live")  # which the feeder sends again
    rejected(rabbit, requeue=False)
    wait_for(lambda: queues.put_aside() == 2, "both are in the dead queue")
    assert bury(queues, storage, delivery_limit=rabbit.broker.delivery_limit) == 2
    assert list(entries(storage)) == []


def test_what_is_no_task_at_all_goes_to_quarantine_as_the_text_that_it_was(
    rabbit: Config, queues: RabbitQueues, storage: Storage
) -> None:
    with connect_rabbit(rabbit.broker) as connection:
        producer = connection.Producer()
        producer.publish(b"\x80no json", routing_key="live", content_type="application/x-python-serialize")
    rejected(rabbit, requeue=False)
    wait_for(lambda: queues.put_aside() == 1, "it is in the dead queue")
    bury(queues, storage, delivery_limit=rabbit.broker.delivery_limit)
    [(_, entry)] = entries(storage)
    assert (entry.reason, "no json" in entry.message) == ("no_task", True)


def test_a_lane_that_was_declared_otherwise_is_refused_in_one_line(rabbit: Config, rabbitmq: RabbitMQ) -> None:
    check_broker(rabbit, patience_s=0)
    other = rabbit.model_copy(update={"broker": rabbit.broker.model_copy(update={"delivery_limit": 7})})
    with pytest.raises(
        ConfigError, match=r"^RabbitMQ has a queue live with other arguments .*x-delivery-limit"
    ) as refused:
        check_broker(other, patience_s=0)
    assert "delete" in str(refused.value)
    assert "\n" not in str(refused.value)
    with Publisher(other) as publisher, pytest.raises(PublishError, match="x-delivery-limit"):
        publisher.send(MANIFEST)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("amqp://liverisk:hidden@localhost:{port}//", "refuses the name or the password"),
        ("amqp://liverisk:{password}@localhost:{port}/nowhere", "virtual host"),
        ("amqp://liverisk:hidden@localhost:9//", "ConnectionRefusedError"),
    ],
)
def test_a_broker_that_cannot_be_used_is_one_line_without_its_password(
    url: str, line: str, rabbit: Config, rabbitmq: RabbitMQ
) -> None:
    password = rabbitmq.url.partition("liverisk:")[2].partition("@")[0]
    wrong = at(rabbit, url.format(port=rabbitmq.port, password=password))
    with pytest.raises(ConfigError, match=line) as refused:
        check_broker(wrong, patience_s=0)
    with Publisher(wrong) as publisher, pytest.raises(PublishError, match=line) as unsent:
        publisher.send(MANIFEST)
    for said in (str(refused.value), str(unsent.value), str(read_status(wrong))):
        assert "hidden" not in said
        assert password not in said


def test_a_restarted_broker_has_every_message_that_it_confirmed(
    rabbit: Config, queues: RabbitQueues, rabbitmq: RabbitMQ
) -> None:
    with Publisher(rabbit) as publisher:
        for number in range(20):
            publisher.send(MANIFEST.model_copy(update={"segment_id": f"s{number}"}))
    rabbitmq.kill()
    rabbitmq.start()
    with open_queues(rabbit) as found:
        # Until a quorum queue has recovered, it says that it holds nothing.
        wait_for(lambda: found.waiting("live") == 20, "all of them wait", timeout_s=120)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_a_redis_that_evicts_is_refused_in_one_line(policy: str, config: Config, broker: redis.Redis) -> None:
    broker.config_set("maxmemory-policy", policy)
    try:
        with pytest.raises(ConfigError, match=rf"maxmemory-policy {policy}\): set maxmemory-policy noeviction$"):
            check_broker(config, patience_s=0)
    finally:
        broker.config_set("maxmemory-policy", "noeviction")
    check_broker(config, patience_s=0)
