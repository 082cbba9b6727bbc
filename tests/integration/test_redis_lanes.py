"""How workers take messages from Redis: in the lanes' order, in one step that notes who has them."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from pipelines.manifest import parse_manifest
from tests.bare_worker import DEMANDING_BODY, DEMANDS, NO_TASK_BODIES, bare_worker, put_aside
from tests.conftest import wait_for
from tests.segments import CHAT_ONLY
from workers.broker.connecting import make_celery
from workers.broker.dead import bury
from workers.broker.declared import DEAD, lane_queues
from workers.broker.queues import UNACKED, RedisQueues
from workers.broker.takers import RedisTaker
from workers.config import Config
from workers.lanes import CLASSIFY
from workers.publish import Publisher
from workers.quarantine import entries
from workers.storage import Storage


@contextmanager
def taker(config: Config, taken: list[Any], *, room: int = 4) -> Iterator[RedisTaker]:
    """What a worker takes from the lanes of the test's database lands in `taken`."""
    with make_celery("taker", config.broker).connection() as connection:
        yield RedisTaker(
            connection,
            lane_queues(config.broker),
            hub=SimpleNamespace(),
            room=lambda: room - len(taken),
            on_message=taken.append,
        )
        connection.default_channel.do_restore = False  # who dies puts nothing back


RUBBISH = (
    b"\xff\x00",
    b"[]",
    b'{"properties": 3}',
    b'{"properties": {"delivery_tag": 7}}',
    b"[" * 3000,
    b'{"properties": {"delivery_tag": "no headers"}}',
    b'{"headers": [], "properties": {"delivery_tag": "a list"}}',
    b'{"headers": {}, "properties": {"delivery_tag": "no body", "body_encoding": "base64"}, "body": 5}',
    b'{"headers": {}, "properties": {"delivery_tag": "told nothing", "delivery_info": []}}',
    b'{"headers": {}, "properties": {"delivery_tag": "a number of Lua"}, "body": 0x10}',
    b'{"headers": {}, "properties": {"delivery_tag": "\xff"}, "body": ""}',
)


def sent(config: Config, *lanes: str) -> None:
    with Publisher(config) as publisher:
        for lane in lanes:
            publisher.send(CHAT_ONLY, lane)  # type: ignore[arg-type]  # one of the three


def test_messages_are_taken_in_the_order_of_the_lanes_and_no_more_than_there_is_room_for(
    config: Config, broker: redis.Redis
) -> None:
    sent(config, "rescan", "review", "live", "rescan", "live")
    taken: list[Any] = []
    with taker(config, taken) as one:
        assert one.take() == 4
        assert [message.delivery_info["routing_key"] for message in taken] == ["live", "live", "review", "rescan"]
        assert one.take() == 0
        assert (broker.llen("rescan"), broker.hlen(UNACKED)) == (1, 4)
        taken[0].ack()
        assert broker.hlen(UNACKED) == 3
        del taken[:]
        assert one.take() == 1
    assert broker.llen("rescan") == 0


def test_a_live_message_of_low_priority_still_goes_before_bulk(config: Config, broker: redis.Redis) -> None:
    sent(config, "live", "rescan")
    broker.rename("live", "live\x06\x166")  # where the transport puts what a client sends with priority 6
    taken: list[Any] = []
    with taker(config, taken) as one:
        assert one.take() == 2
    assert [message.delivery_info["routing_key"] for message in taken] == ["live", "rescan"]


def test_a_message_of_a_worker_that_is_gone_comes_back_after_the_visibility_timeout_and_not_before(
    config: Config, broker: redis.Redis
) -> None:
    soon = config.model_copy(update={"broker": config.broker.model_copy(update={"visibility_timeout_s": 0.5})})
    sent(config, "review")
    before: list[Any] = []
    with taker(config, before) as gone:
        gone.take()
    again: list[Any] = []
    with taker(config, again) as patient:
        assert (patient.restore(), patient.take()) == (0, None)
    with taker(soon, again) as other:
        wait_for(lambda: other.restore() == 1, "the message is back")
        assert other.take() == 1
    assert again[0].delivery_info["redelivered"] is True
    assert again[0].headers["id"] == before[0].headers["id"]


def test_what_is_no_message_is_put_aside_and_the_next_one_taken(config: Config, broker: redis.Redis) -> None:
    for rubbish in RUBBISH:
        broker.lpush("live", rubbish)
    sent(config, "live")
    taken: list[Any] = []
    with taker(config, taken) as one:
        wait_for(lambda: one.take(), "the message behind the rubbish is taken")
    assert broker.lrange(DEAD, 0, -1) == [b"live " + rubbish for rubbish in reversed(RUBBISH)]
    assert (len(taken), broker.hlen(UNACKED), broker.zcard("unacked_index")) == (1, 1, 1)


def test_what_celery_cannot_take_in_ends_no_worker(config: Config, broker: redis.Redis) -> None:
    def no_id(message: Any) -> None:
        raise KeyError("id")

    sent(config, "live", "review")
    with taker(config, []) as one:
        one.on_message = no_id
        assert one.take() == 2
    assert (broker.llen(DEAD), broker.hlen(UNACKED), broker.llen("live")) == (2, 0, 0)


def test_what_was_put_aside_goes_to_quarantine_as_it_was_sent_and_with_its_lane(
    config: Config, broker: redis.Redis, storage: Storage
) -> None:
    sent(config, "review")
    with Publisher(config) as publisher:
        publisher.send_reexamine("rescan-a", 1, 0, "rescan")  # which the feeder sends again
    taken: list[Any] = []
    with taker(config, taken) as one:
        one.take()
        for message in taken:
            one.refuse(message, "no task")
    broker.lpush(DEAD, b"rescan \xffno json")
    counted: list[str] = []
    queues = RedisQueues(broker)
    assert (queues.put_aside(), broker.hlen(UNACKED)) == (3, 0)
    assert bury(queues, storage, delivery_limit=20, count=counted.append) == 3
    found = {entry.lane: entry for _, entry in entries(storage)}
    assert parse_manifest(found["review"].message) == CHAT_ONLY
    assert json.loads(found["rescan"].message) == {"body": "\ufffdno json"}
    assert (set(found), counted, queues.put_aside()) == ({"review", "rescan"}, ["no_task", "no_task"], 0)


def test_a_worker_sends_what_is_no_task_to_quarantine_and_no_word_of_it_to_its_log(
    config: Config, broker: redis.Redis, storage: Storage, state_directory: Path
) -> None:
    word = base64.b64encode(json.dumps({"said": "a secret word"}).encode()).decode()
    properties = {"delivery_info": {}, "body_encoding": "base64"}
    told: list[Any] = [{}, {"task": "other.task", "id": "1"}, {"task": CLASSIFY}, {"task": [CLASSIFY], "id": "2"}]
    with bare_worker(config, state_directory / "worker.log") as worker:
        for number, headers in enumerate(told):
            message = {"body": word, "content-type": "application/json", "content-encoding": "utf-8"}
            tagged = {**properties, "delivery_tag": str(number)}
            broker.lpush("live", json.dumps({**message, "headers": headers, "properties": tagged}))
            wait_for(lambda: not broker.llen("live"), "it was taken")
        pushed(broker, "two", json.dumps([[{"said": "a secret word"}], {}]).encode())
        pushed(broker, "demands", json.dumps(DEMANDING_BODY).encode(), **DEMANDS)
        found = put_aside(storage, 3)
        wait_for(lambda: not broker.exists("live", DEAD, UNACKED), "all were buried")
        assert worker.poll() is None
    (examined,) = (entry for entry in found if entry.reason == "manifest")
    assert json.loads(examined.message) == DEMANDING_BODY[0][0]
    assert not broker.exists("celery", "elsewhere")
    found.remove(examined)
    assert {entry.reason for entry in found} == {"no_task"}
    assert all("a secret word" in entry.message for entry in found)
    assert "a secret word" not in (state_directory / "worker.log").read_text()


def pushed(broker: redis.Redis, tag: str, body: bytes, **headers: object) -> None:
    """A message for the lane live as anybody may write it."""
    message = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": CLASSIFY, "id": tag, **headers},
        "properties": {"delivery_tag": tag, "delivery_info": {}, "body_encoding": "base64"},
    }
    broker.lpush("live", json.dumps(message))


def test_of_what_a_sender_wants_of_celery_nothing_reaches_it(config: Config, broker: redis.Redis) -> None:
    pushed(broker, "1", json.dumps(DEMANDING_BODY).encode(), **DEMANDS, queued_at=5.0, live=True)
    taken: list[Any] = []
    with taker(config, taken) as one:
        assert one.take() == 1
    assert taken[0].headers == {"task": CLASSIFY, "id": "1", "queued_at": 5.0, "live": True}
    assert taken[0].payload == [*DEMANDING_BODY[:2], {}]


@pytest.mark.parametrize("body", NO_TASK_BODIES, ids=lambda body: body.decode()[:20])
def test_a_body_of_another_form_is_put_aside(config: Config, broker: redis.Redis, body: bytes) -> None:
    pushed(broker, "1", body)
    taken: list[Any] = []
    with taker(config, taken) as one:
        one.take()
    assert (taken, broker.llen(DEAD), broker.hlen(UNACKED)) == ([], 1, 0)


def test_a_packed_body_is_put_aside_and_never_unpacked(config: Config, broker: redis.Redis) -> None:
    pushed(broker, "1", gzip.compress(b"[[], {}, {}]"), compression="application/x-gzip")
    taken: list[Any] = []
    with taker(config, taken) as one:
        one.take()
    assert (taken, broker.llen(DEAD)) == ([], 1)


@pytest.mark.parametrize(
    "more",
    [
        b'"body": "\xff"',
        b'"body": "not base64", "properties": {"delivery_tag": "one", "body_encoding": "base64"}',
        b'"headers": ["task"]',
        b'"content-length": 0x1f',
        b'"body": ' + b"[" * 990 + b"]" * 990,
    ],
    ids=["bytes", "base64", "headers", "number", "deep"],
)
def test_what_only_seems_a_message_is_put_aside_and_the_next_one_taken(
    config: Config, broker: redis.Redis, more: bytes
) -> None:
    broker.lpush("live", b'{"properties": {"delivery_tag": "one"}, ' + more + b"}")
    sent(config, "live")
    taken: list[Any] = []
    with taker(config, taken) as one:
        wait_for(lambda: one.take(), "the message behind it is taken")
    assert (broker.llen(DEAD), broker.hlen(UNACKED), len(taken)) == (1, 1, 1)


def test_a_message_that_celery_stumbles_over_is_refused_and_the_next_one_taken(
    config: Config, broker: redis.Redis
) -> None:
    sent(config, "live", "live")
    taken: list[Any] = []

    def stumbles_once(message: Any) -> None:
        taken.append(message)
        if len(taken) == 1:
            raise TypeError("unhashable type: 'list'")

    with taker(config, taken) as one:
        one.on_message = stumbles_once
        assert one.take() == 2
        assert broker.hlen(UNACKED) == 1


def test_a_broker_that_refuses_is_asked_again_later(
    config: Config, broker: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    broker.set(UNACKED, "no hash")
    sent(config, "live")
    looks: list[float] = []
    with taker(config, []) as one:
        one._hub.call_later = lambda after_s, look: looks.append(after_s)
        one.consume()
        one._look()
    assert looks[-1] >= 1
    assert "broker gives out no message error=" in caplog.text
    assert broker.llen("live") == 1
