"""How workers take messages from Redis: in the lanes' order, in one step that notes who has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from tests.conftest import wait_for
from tests.segments import CHAT_ONLY
from workers.broker.connecting import make_celery
from workers.broker.declared import DEAD, lane_queues
from workers.broker.queues import UNACKED
from workers.broker.takers import RedisTaker
from workers.config import Config
from workers.publish import Publisher


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
    for rubbish in (b"\xff\x00", b"[]", b'{"properties": 3}', b'{"properties": {"delivery_tag": 7}}', b"[" * 3000):
        broker.lpush("live", rubbish)
    sent(config, "live")
    taken: list[Any] = []
    with taker(config, taken) as one:
        wait_for(lambda: one.take(), "the message behind the rubbish is taken")
    assert broker.llen(DEAD) == 5
    assert len(taken) == 1


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
