"""What waits in the lanes: how much, since when, and whose; and taking the messages of one run out of a lane.

Redis is looked into. RabbitMQ shows nobody its messages, so what must be known is known otherwise: see `RabbitQueues`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import amqp
import redis

from workers.broker.clock import server_time
from workers.broker.connecting import AWAY, connect_rabbit, declare, place_of, redis_client, refusal
from workers.broker.declared import DEAD
from workers.broker.letters import UNREADABLE, Letter, from_dead_entry, from_rabbit, from_redis
from workers.broker.settings import Broker
from workers.config import Config, ConfigError
from workers.lanes import LANES, Lane, epoch_s

UNACKED = "unacked"
"""Where kombu keeps messages in Redis that were delivered and not yet acknowledged."""
LANE_KEY = "liverisk:lane:"
LANE_TTL_S = 24 * 3600
RUNNING_KEY = "liverisk:running:"
"""Workers note what they are at under this name: see `workers.state`."""
SIFT_AGAIN_S = 5.0
"""A lane of RabbitMQ is gone through for one run at most this often."""


class Queues(Protocol):
    """For one thread. Methods raise `BrokerError` or `redis.RedisError` when they could not ask."""

    def waiting(self, lane: Lane) -> int: ...

    def oldest_s(self, lane: Lane) -> float | None:
        """How long the next message of the lane has waited; None when nobody can tell."""

    def in_work(self) -> int | None:
        """Messages that workers have; None where only the workers know."""

    def put_aside(self) -> int:
        """Messages that were delivered too often, or are none for this pool, and are not yet in quarantine."""

    def take_dead(self, bury: Callable[[Letter], None]) -> int:
        """Hands over each message that was put aside; it is gone when `bury` returns. How many there were."""

    def sift(self, lane: Lane, theirs: Callable[[Letter], bool], *, stays: bool) -> list[Letter]:
        """Goes once through the lane; the messages that are `theirs`, which stay in it or are gone from it."""

    def withdraw(self, lane: Lane, run: str) -> int:
        """Takes the run's messages out of the lane; how many there were."""

    def under_way(self, lane: Lane, run: str) -> frozenset[str]:
        """Task ids of the run's messages that wait in the lane or are with a worker."""

    def look(self) -> None:
        """Called every second or two by the one feeder that works."""

    def version(self) -> str: ...

    def close(self) -> None: ...


@contextmanager
def open_queues(config: Config, *, timeout_s: float | None = None) -> Iterator[Queues]:
    """Those of the deployment's broker; `ConfigError` when it has none."""
    queues = queues_of(config, timeout_s=timeout_s)
    try:
        yield queues
    finally:
        queues.close()


def queues_of(config: Config, *, timeout_s: float | None = None) -> Queues:
    broker, timeout_s = config.broker, timeout_s or config.broker.socket_timeout_s
    if broker.url is None or config.state_url is None:
        raise ConfigError("no broker: run `liverisk up` here, or set LIVERISK__BROKER__URL")
    if not broker.is_rabbit:
        return RedisQueues(redis_client(broker.url, broker.tls, timeout_s=timeout_s))
    state = redis_client(config.state_url, config.state_tls, timeout_s=timeout_s)
    return RabbitQueues(broker.model_copy(update={"socket_timeout_s": timeout_s}), state)


class RedisQueues:
    """A lane is a list; the transport takes from its far end."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def waiting(self, lane: Lane) -> int:
        return int(self._client.llen(lane))

    def oldest_s(self, lane: Lane) -> float | None:
        raw = self._client.lindex(lane, -1)
        queued_at = from_redis(raw, lane).headers.get("queued_at") if isinstance(raw, bytes) else None
        return _age_s(queued_at, server_time(self._client))

    def in_work(self) -> int | None:
        return int(self._client.hlen(UNACKED))

    def put_aside(self) -> int:
        return int(self._client.llen(DEAD))

    def take_dead(self, bury: Callable[[Letter], None]) -> int:
        taken = 0
        while isinstance(entry := self._client.lindex(DEAD, -1), bytes):
            bury(from_dead_entry(entry))
            self._remove(DEAD, entry, from_end=True)
            taken += 1
        return taken

    def sift(self, lane: Lane, theirs: Callable[[Letter], bool], *, stays: bool) -> list[Letter]:
        waiting: Any = self._client.lrange(lane, 0, -1)
        found = ((raw, letter) for raw in waiting if theirs(letter := from_redis(raw, lane)))
        return [letter for raw, letter in found if stays or self._remove(lane, raw)]

    def withdraw(self, lane: Lane, run: str) -> int:
        return len(self.sift(lane, _of_run(run), stays=False))

    def under_way(self, lane: Lane, run: str) -> frozenset[str]:
        with_workers = filter(_of_run(run), self._unacked(lane))
        return _ids((*self.sift(lane, _of_run(run), stays=True), *with_workers))

    def look(self) -> None:
        """Nothing has to be noted: what waits can be seen."""

    def version(self) -> str:
        info: dict[str, Any] = self._client.info("server")
        return f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info['redis_version']}"

    def close(self) -> None:
        self._client.close()

    def _remove(self, key: str, raw: bytes, *, from_end: bool = False) -> bool:
        """Whether it was still there."""
        return bool(self._client.lrem(key, -1 if from_end else 1, raw))  # type: ignore[arg-type]  # bytes are well

    def _unacked(self, lane: Lane) -> Iterator[Letter]:
        """What workers have of any lane. The transport's entries are `[message, exchange, routing key]`."""
        entries = self._client.hvals(UNACKED)
        assert isinstance(entries, list)
        for entry in entries:
            with suppress(*UNREADABLE):
                yield from_redis(json.dumps(json.loads(entry)[0]).encode(), lane)


class RabbitQueues:
    """RabbitMQ says how many messages wait; the rest is concluded.

    Age: workers note when what they took last had been queued, the feeder when it last saw a lane empty. Lanes are
    first come, first served, so what waits now is younger than both.

    Whose: the lane is gone through, each message being taken once and, if it stays, sent anew before it is
    acknowledged: putting it back would count as a failed delivery. A run has few messages out at a time. Whoever dies
    in between leaves one message twice, which is harmless. What workers are at, they note in the state store.
    """

    def __init__(self, broker: Broker, state: redis.Redis) -> None:
        assert broker.url is not None
        self._place = place_of(broker.url)
        self._broker = broker
        self._connection = connect_rabbit(broker)
        self._declared = False
        self._state = state
        self._sifted: dict[tuple[Lane, str], float] = {}

    def waiting(self, lane: Lane) -> int:
        return self._depth(lane)

    def put_aside(self) -> int:
        return self._depth(DEAD)

    def oldest_s(self, lane: Lane) -> float | None:
        if not self._depth(lane):
            return None
        noted = self._state.hgetall(f"{LANE_KEY}{lane}")
        assert isinstance(noted, dict)
        return _age_s(max((float(value) for value in noted.values()), default=None), time.time())

    def in_work(self) -> int | None:
        return None

    def withdraw(self, lane: Lane, run: str) -> int:
        last = self._sifted.get((lane, run))
        if last is not None and time.monotonic() - last < SIFT_AGAIN_S:
            return 0
        self._sifted[lane, run] = time.monotonic()
        return len(self.sift(lane, _of_run(run), stays=False))

    def under_way(self, lane: Lane, run: str) -> frozenset[str]:
        prefix = f"{RUNNING_KEY}{run}/"
        running = {key.decode().removeprefix(RUNNING_KEY) for key in self._state.scan_iter(f"{prefix}*", count=1000)}
        return _ids(self.sift(lane, _of_run(run), stays=True)) | running

    def look(self) -> None:
        for lane in LANES:
            now = time.time()
            if not self._depth(lane):
                note_lane(self._state, lane, "empty", now)

    def take_dead(self, bury: Callable[[Letter], None]) -> int:
        with self._speaking() as channel:
            taken = 0
            while (message := channel.basic_get(DEAD)) is not None:
                came_from = (message.properties.get("application_headers") or {}).get("x-first-death-queue")
                letter = from_rabbit(message, next((lane for lane in LANES if lane == came_from), LANES[0]))
                try:
                    bury(letter)
                except Exception:
                    # Put back, it would be a failed delivery, of which RabbitMQ 4 has a limit of its own.
                    channel.basic_publish(_anew(message, letter.headers), exchange="", routing_key=DEAD, mandatory=True)
                    channel.basic_ack(message.delivery_tag)
                    raise
                channel.basic_ack(message.delivery_tag)
                taken += 1
            return taken

    def sift(self, lane: Lane, theirs: Callable[[Letter], bool], *, stays: bool) -> list[Letter]:
        found = []
        with self._speaking() as channel:
            for _ in range(channel.queue_declare(lane, passive=True).message_count):
                message = channel.basic_get(lane)
                if message is None:
                    break
                letter = from_rabbit(message, lane)
                if one_of_them := theirs(letter):
                    found.append(letter)
                if stays or not one_of_them:
                    again = _anew(message, letter.headers)
                    channel.basic_publish(again, exchange="", routing_key=lane, mandatory=True)
                channel.basic_ack(message.delivery_tag)
        return found

    def version(self) -> str:
        with self._speaking() as channel:
            said: dict[str, Any] = channel.connection.server_properties
            return f"{said.get('product', 'amqp')} {said.get('version', '')}".strip()

    def close(self) -> None:
        with suppress(*AWAY):
            self._connection.release()
        self._state.close()

    def _depth(self, queue: str) -> int:
        with self._speaking() as channel:
            return int(channel.queue_declare(queue, passive=True).message_count)

    @contextmanager
    def _speaking(self) -> Iterator[Any]:
        """After whatever goes wrong the connection is closed: what was taken and not acknowledged goes back."""
        try:
            if not self._declared:
                declare(self._connection, self._broker)
                self._declared = True
            yield self._connection.default_channel
        except BaseException as error:
            self._declared = False
            with suppress(*AWAY):
                self._connection.close()
            self._connection = connect_rabbit(self._broker)  # one that was closed stays so
            if isinstance(error, AWAY):
                raise refusal(self._place, error) from None
            raise


def note_lane(state: redis.Redis, lane: Lane, what: str, at: float) -> None:
    """`taken`: when the message that was taken last had been queued; `empty`: when nothing waited. Epoch seconds."""
    with state.pipeline() as pipe:
        pipe.hset(f"{LANE_KEY}{lane}", what, f"{at:.3f}")
        pipe.expire(f"{LANE_KEY}{lane}", LANE_TTL_S)
        pipe.execute()


def _of_run(run: str) -> Callable[[Letter], bool]:
    return lambda letter: letter.headers.get("run") == run


def _ids(letters: Iterable[Letter]) -> frozenset[str]:
    """Of their tasks."""
    return frozenset(str(letter.headers["id"]) for letter in letters if "id" in letter.headers)


def _anew(message: Any, headers: Mapping[str, Any]) -> amqp.Message:
    """The same message with no deliveries behind it."""
    kept = {name: value for name, value in headers.items() if name != "x-delivery-count"}
    return amqp.Message(message.body, **{**message.properties, "application_headers": kept})


def _age_s(queued_at: object, now: float) -> float | None:
    said = epoch_s(queued_at)
    return None if said is None else round(max(0.0, now - said), 1)
