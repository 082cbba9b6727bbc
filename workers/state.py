"""What is remembered of streams between segments, in the state store, with a time to live.

Temporal state is a map from segment time to probabilities, per stream and run; never a running sum. So a
segment that comes twice, late or out of order leaves it as it should be.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from datetime import datetime

import redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.retry import Retry

from workers.broker.connecting import redis_client
from workers.config import Config, ConfigError

LANGUAGE_TTL_S = 300
"""A stream's language is heard anew this often: hosts switch, guests arrive."""

LANGUAGE_SWITCHES_AFTER = 2
"""Segments in that time that are clearly in another language make it the stream's: one may be a guest or a song."""

ATTEMPT_TTL_S = 24 * 3600
HISTORY_KEPT = 400
"""Segments remembered per stream and run; an hour of ten-second ones."""


def connect(config: Config) -> redis.Redis:
    """A client of the state store with bounded waiting; `ConfigError` when none is configured."""
    if config.state_url is None:
        raise ConfigError("no broker: run `liverisk up` here, or set LIVERISK__BROKER__URL")
    retry = Retry(ExponentialBackoff(cap=1, base=0.05), 3)
    return redis_client(config.state_url, config.state_tls, timeout_s=config.broker.socket_timeout_s, retry=retry)


class StreamState:
    """History, language and attempts. Every method may raise `redis.RedisError`, worth a retry."""

    def __init__(self, client: redis.Redis, ttl_s: int) -> None:
        self._client = client
        self._ttl_s = ttl_s
        self._last: tuple[str, str] | None = None
        self._excused: list[tuple[str, str]] = []

    def history(self, stream_id: str, run: str) -> Mapping[float, Mapping[str, float]]:
        """Segment start in epoch seconds -> policy -> probability of that segment alone."""
        stored = self._client.hgetall(_history_key(stream_id, run))
        assert isinstance(stored, dict)
        return {int(field) / 1000: json.loads(value) for field, value in stored.items()}

    def remember(self, stream_id: str, run: str, captured_at: datetime, instants: Mapping[str, float]) -> None:
        """Sets this segment's entry; doing so again changes nothing."""
        key = _history_key(stream_id, run)
        with self._client.pipeline() as pipe:
            pipe.hset(key, str(_milliseconds(captured_at)), json.dumps(dict(instants)))
            pipe.expire(key, self._ttl_s)
            pipe.hlen(key)
            size = int(pipe.execute()[-1])
        if size > HISTORY_KEPT:
            fields = self._client.hkeys(key)
            assert isinstance(fields, list)
            self._client.hdel(key, *sorted(fields, key=int)[: size - HISTORY_KEPT])

    def language(self, stream_id: str) -> str | None:
        """What the stream was last heard to speak with certainty, if that was lately."""
        value = self._client.get(f"liverisk:language:{stream_id}")
        return value.decode() if isinstance(value, bytes) else None

    def remember_language(self, stream_id: str, language: str, heard_at: datetime) -> None:
        """Kept from its first hearing, so that it is heard anew when the time is over; followed when it changes.

        Segments are told apart by their time, so that one that comes twice counts once.
        """
        key = f"liverisk:language:{stream_id}"
        if self._client.set(key, language, ex=LANGUAGE_TTL_S, nx=True) or self.language(stream_id) == language:
            return
        heard = f"{key}:{language}"
        with self._client.pipeline() as pipe:
            pipe.sadd(heard, _milliseconds(heard_at))
            pipe.expire(heard, LANGUAGE_TTL_S)
            pipe.scard(heard)
            segments = int(pipe.execute()[-1])
        if segments >= LANGUAGE_SWITCHES_AFTER:
            self._client.set(key, language, ex=LANGUAGE_TTL_S)
            self._client.delete(heard)

    def start_attempt(self, segment: str) -> int:
        """Counts a start before the risky work; the count so far, this one included.

        Starts have names, so that one that is told again, as its answer was lost, counts once.
        """
        self._last = segment, uuid.uuid4().hex
        try:
            with self._client.pipeline() as pipe:
                self._take_back(pipe)
                pipe.sadd(_starts_key(segment), self._last[1])
                pipe.expire(_starts_key(segment), ATTEMPT_TTL_S)
                pipe.scard(_starts_key(segment))
                starts = int(pipe.execute()[-1])
        except redis.RedisError:  # it may have been counted all the same
            self._excused.append(self._last)
            raise
        self._excused.clear()
        return starts

    def note_running(self, segment: str, limit_s: int) -> None:
        """Somebody works on it; forgotten when its time limit has passed, whatever became of it."""
        self._client.set(f"liverisk:running:{segment}", 1, ex=limit_s)

    def is_running(self, segment: str) -> bool:
        return bool(self._client.exists(f"liverisk:running:{segment}"))

    def excuse_attempt(self, segment: str) -> None:
        """Takes our last start of it back: what stopped it was not the segment's fault.

        Where that was the state store, and still is, this raises; the start is taken back when the next is counted.
        """
        if self._last is None or self._last[0] != segment:
            return
        self._excused.append(self._last)
        self._last = None
        with self._client.pipeline() as pipe:
            self._take_back(pipe)
            pipe.execute()
        self._excused.clear()

    def _take_back(self, pipe: Pipeline) -> None:
        for segment, start in self._excused:
            pipe.srem(_starts_key(segment), start)

    def note_failure(self, segment: str, failure: str) -> None:
        """Keeps an error class and its place for whoever asks why the segment was put aside."""
        self._client.set(f"liverisk:failure:{segment}", failure, ex=ATTEMPT_TTL_S)
        self._client.delete(f"liverisk:running:{segment}")

    def failure(self, segment: str) -> str | None:
        value = self._client.get(f"liverisk:failure:{segment}")
        return value.decode() if isinstance(value, bytes) else None

    def forget_attempts(self, segment: str) -> None:
        self._client.delete(*(f"liverisk:{kind}:{segment}" for kind in ("starts", "failure", "running")))


def _starts_key(segment: str) -> str:
    return f"liverisk:starts:{segment}"


def _history_key(stream_id: str, run: str) -> str:
    return f"liverisk:history:{run}:{stream_id}"


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
