"""What is remembered of streams, in a real Valkey."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis
from pydantic import SecretStr
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.cuts import Wire
from workers.broker.connecting import redis_client
from workers.config import Config
from workers.stack.services import Services
from workers.state import HISTORY_KEPT, StreamState

START = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 0.2


@pytest.fixture
def wire(services: Services) -> Iterator[Wire]:
    opened = Wire(services.valkey.port)
    yield opened
    opened.close()


def through(wire: Wire, config: Config) -> redis.Redis:
    """A client that reaches the test's own database by the wire, and tries four times."""
    assert config.broker.url is not None
    head, _, database = config.broker.url.get_secret_value().rpartition("/")
    url = SecretStr(f"{head.rpartition(':')[0]}:{wire.port}/{database}")
    return redis_client(url, config.broker.tls, timeout_s=PATIENCE_S, retry=Retry(NoBackoff(), 3))


@pytest.fixture
def state(broker: redis.Redis) -> StreamState:
    return StreamState(broker, ttl_s=600)


def test_history_is_a_map_from_segment_time_to_probabilities(state: StreamState) -> None:
    state.remember("room", "live", START, {"scam": 0.5})
    assert state.history("room", "live") == {START.timestamp(): {"scam": 0.5}}


def test_repeated_and_late_segments_leave_the_same_history(state: StreamState) -> None:
    moments = [START + timedelta(seconds=10 * n) for n in (2, 0, 1, 2, 0)]
    for moment in moments:
        state.remember("room", "live", moment, {"scam": moment.second / 100})
    assert state.history("room", "live") == {m.timestamp(): {"scam": m.second / 100} for m in moments}


def test_runs_and_streams_do_not_see_one_another(state: StreamState) -> None:
    state.remember("room", "live", START, {"scam": 0.5})
    assert state.history("room", "rescan-1") == {}
    assert state.history("other", "live") == {}


def test_only_the_latest_segments_are_kept(state: StreamState) -> None:
    for number in range(HISTORY_KEPT + 3):
        state.remember("room", "live", START + timedelta(seconds=10 * number), {})
    kept = state.history("room", "live")
    assert len(kept) == HISTORY_KEPT
    assert min(kept) == (START + timedelta(seconds=30)).timestamp()


def test_attempts_count_starts_and_forgive_what_was_not_the_segments_fault(state: StreamState) -> None:
    assert [state.start_attempt("a/b/live") for _ in range(3)] == [1, 2, 3]
    state.excuse_attempt("a/b/live")
    assert state.start_attempt("a/b/live") == 3
    state.forget_attempts("a/b/live")
    assert state.start_attempt("a/b/live") == 1


def test_a_start_whose_answer_was_lost_counts_once(state: StreamState, wire: Wire, config: Config) -> None:
    with through(wire, config) as client:
        client.ping()
        wire.hush()
        threading.Timer(2.5 * PATIENCE_S, wire.join).start()
        assert StreamState(client, ttl_s=600).start_attempt("a/b/live") == 1
    assert state.start_attempt("a/b/live") == 2


def test_a_start_that_could_not_be_taken_back_is_when_the_next_one_is_counted(
    state: StreamState, wire: Wire, config: Config
) -> None:
    with through(wire, config) as client:
        interrupted = StreamState(client, ttl_s=600)
        assert interrupted.start_attempt("a/b/live") == 1
        wire.part()
        with pytest.raises(redis.RedisError):
            interrupted.excuse_attempt("a/b/live")
        wire.join()
        assert interrupted.start_attempt("c/d/live") == 1
    assert state.start_attempt("a/b/live") == 1


def test_a_streams_language_is_remembered_from_its_first_hearing(state: StreamState) -> None:
    assert state.language("room") is None
    state.remember_language("room", "zh", START)
    state.remember_language("room", "en", START + timedelta(seconds=10))
    assert state.language("room") == "zh"


def test_a_streams_language_follows_when_a_second_segment_is_in_another(state: StreamState) -> None:
    state.remember_language("room", "zh", START)
    for language, seconds in (("en", 10), ("en", 10), ("fr", 20)):
        state.remember_language("room", language, START + timedelta(seconds=seconds))
    assert state.language("room") == "zh"
    state.remember_language("room", "en", START + timedelta(seconds=30))
    assert state.language("room") == "en"
    state.remember_language("room", "zh", START + timedelta(seconds=40))
    assert state.language("room") == "en"


def test_nothing_is_kept_for_ever(state: StreamState, broker: redis.Redis) -> None:
    state.remember("room", "live", START, {})
    state.remember_language("room", "zh", START)
    state.remember_language("room", "en", START)
    state.start_attempt("a/b/live")
    state.note_failure("a/b/live", "ValueError at x:1")
    keys = broker.keys("liverisk:*")
    assert isinstance(keys, list)
    assert len(keys) == 5
    assert all(broker.ttl(key) > 0 for key in keys)
