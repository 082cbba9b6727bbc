from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

import pytest
import redis
from pydantic import SecretStr

from tests.cuts import Wire
from tests.lanes import messages, queued
from tests.segments import CHAT_ONLY as MANIFEST
from workers.app import waited_s
from workers.broker.clock import BrokerClock
from workers.config import Config
from workers.publish import Publisher, PublishError
from workers.stack.services import Services


def at(config: Config, url: str) -> Config:
    return config.model_copy(update={"broker": config.broker.model_copy(update={"url": SecretStr(url)})})


@pytest.mark.parametrize("lane", ["live", "review", "rescan"])
def test_a_manifest_lies_in_its_lane_unchanged(config: Config, broker: redis.Redis, lane: str) -> None:
    with Publisher(config) as publisher:
        publisher.check()
        publisher.send(MANIFEST, lane)  # type: ignore[arg-type]  # one of the three
    assert queued(broker, lane) == [MANIFEST]


def test_the_same_segment_has_the_same_task_id(config: Config, broker: redis.Redis) -> None:
    again = MANIFEST.model_copy(update={"run": "review-7"})
    with Publisher(config) as publisher:
        for manifest in (MANIFEST, MANIFEST, again):
            publisher.send(manifest)
    ids = [message["headers"]["id"] for message in messages(broker)]  # type: ignore[index]  # JSON
    assert ids == ["room/s1/live", "room/s1/live", "room/s1/review-7"]


def test_headers_show_no_chat(config: Config, broker: redis.Redis) -> None:
    with Publisher(config) as publisher:
        publisher.send(MANIFEST)
    [message] = messages(broker)
    assert "微信" not in str(message["headers"])


def test_a_dead_broker_is_one_line_without_its_password(config: Config) -> None:
    with Publisher(at(config, "redis://:hidden@127.0.0.1:9/0")) as publisher:
        for attempt in (publisher.check, lambda: publisher.send(MANIFEST)):
            with pytest.raises(PublishError) as refused:
                attempt()
            assert "hidden" not in str(refused.value)
            assert "\n" not in str(refused.value)


def test_connections_that_break_while_it_sends_are_at_worst_a_broker_that_takes_no_messages(
    config: Config, services: Services
) -> None:
    wire = Wire(services.valkey.port)
    assert config.broker.url is not None
    wired = config.broker.url.get_secret_value().replace(f":{services.valkey.port}/", f":{wire.port}/")
    with Publisher(at(config, wired)) as publisher:
        for number in range(40):
            cutting = threading.Timer(number % 8 / 200, wire.cut)
            cutting.start()
            with suppress(PublishError):
                publisher.send(MANIFEST)
            cutting.join()
        publisher.send(MANIFEST)
    wire.close()


def test_a_wrong_password_is_one_line(config: Config) -> None:
    assert config.broker.url is not None
    host = config.broker.url.get_secret_value().rpartition("@")[2]
    with (
        Publisher(at(config, f"redis://:wrong@{host}")) as publisher,
        pytest.raises(PublishError, match=r"127\.0\.0\.1"),
    ):
        publisher.send(MANIFEST)


def test_a_message_says_since_when_it_waits_and_of_which_run_it_is(config: Config, broker: redis.Redis) -> None:
    before = time.time()
    with Publisher(config) as publisher:
        publisher.send(MANIFEST)
        publisher.send_reexamine("rescan-a", 3, 7, "live")
        publisher.send_conclude("rescan-a", 3, "live")
    headers = [message["headers"] for message in messages(broker)]
    assert [one["run"] for one in headers] == ["live", "rescan-a", "rescan-a"]  # type: ignore[index]  # JSON
    assert [one["id"] for one in headers][1:] == ["rescan-a/3/7", "rescan-a/3"]  # type: ignore[index]
    assert all(before - 1 <= one["queued_at"] <= time.time() for one in headers)  # type: ignore[index]


def test_a_review_can_be_asked_for_by_message(config: Config, broker: redis.Redis) -> None:
    with Publisher(config) as publisher:
        publisher.send_review("room", since=datetime(2026, 1, 1, tzinfo=UTC), reason="reported")
    [message] = messages(broker, "review")
    assert message["headers"]["task"] == "liverisk.review"  # type: ignore[index]  # JSON
    asked = json.loads(base64.b64decode(str(message["body"])))[0]
    assert asked == [{"stream_id": "room", "since": "2026-01-01T00:00:00+00:00", "reason": "reported"}]


@pytest.mark.parametrize("off_s", [-360.0, 86400.0])
def test_a_sender_whose_clock_is_wrong_stamps_its_messages_by_the_brokers(
    off_s: float, config: Config, broker: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = partial(BrokerClock, own=lambda: time.time() + off_s)
    monkeypatch.setattr("workers.publish.BrokerClock", wrong)
    with Publisher(config) as publisher:
        publisher.send(MANIFEST, live=True)
    [message] = messages(broker)
    queued_at = message["headers"]["queued_at"]  # type: ignore[index]  # JSON
    assert queued_at == pytest.approx(time.time(), abs=5)
    assert waited_s(queued_at, wrong(config.broker).now()) == pytest.approx(0, abs=5)


def test_without_a_broker_that_answers_a_clock_is_its_own(config: Config) -> None:
    away = at(config, "redis://:hidden@127.0.0.1:9/0").broker
    assert BrokerClock(away, own=lambda: 1000.0).now() == 1000.0
