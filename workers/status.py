"""The state of the pool at one moment: broker, store, lanes, workers, engines, what lately came out.

Everything is asked at once and with short patience. A piece that does not answer is said not to; it is
never left out, and nothing here changes anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import redis

from workers.broker.connecting import AWAY, BrokerError, make_celery, redis_client
from workers.broker.queues import Queues, open_queues
from workers.config import Config, ConfigError
from workers.engine.heartbeat import beats
from workers.engine.reported import Engine, parse_engine
from workers.lanes import LANES
from workers.lexicons import Standing, told
from workers.quarantine import PREFIX as QUARANTINE
from workers.recent import Summary, summary
from workers.registry.slots import Registry
from workers.registry.store import RegistryError, read_state
from workers.runs.lease import FEEDER_KEY
from workers.runs.progress import progress
from workers.runs.run import Progress
from workers.runs.store import RunError, Runs
from workers.storage import Storage, StorageError
from workers.store_watch import store_troubles

PATIENCE_S = 2.0
REPLIES_S = 1.0
"""How long workers have to answer; all of it passes, as nobody knows how many there are."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Whether something outside answers; `detail` is its version, or what went wrong, in a word."""

    answers: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Lane:
    """`waiting` messages, and how many worker processes take from it; null where that could not be asked.

    `oldest_s` is how long the next segment has waited; null of an empty lane, or when its sender did not say.
    """

    name: str
    waiting: int | None
    workers: int | None
    oldest_s: float | None = None


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker process. `active` segments of at most `concurrency` at a time; `pid` on its own host."""

    name: str
    pid: int | None
    concurrency: int | None
    active: int | None
    lanes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """Null stands for "could not be asked"; an empty tuple for "asked, and there is none".

    `lexicons` are as each worker lately told of its own.
    `put_aside` are messages that RabbitMQ gave up on and that are not yet in quarantine, where the feeder brings them.
    `registry` is what the store says; without one the checkpoints `configured` by slot serve.
    `runs` are the open ones. Those in `runs_unread` are open, too, but could not be counted in time, or at all.
    """

    at: datetime
    broker: Piece
    store: Piece
    lanes: tuple[Lane, ...]
    in_work: int | None
    workers: tuple[Worker, ...] | None
    engines: tuple[Engine, ...] | None
    recent: Summary | None
    quarantined: int | None
    put_aside: int | None = None
    feeder: bool | None = None
    runs: tuple[Progress, ...] | None = None
    runs_unread: tuple[str, ...] = ()
    lexicons: tuple[Standing, ...] | None = None
    registry: Registry | None = None
    registry_problem: str = ""
    configured: dict[str, str] = field(default_factory=dict)

    @property
    def reachable(self) -> bool:
        """Whether segments can be queued and stored at all."""
        return self.broker.answers and self.store.answers


@dataclass(frozen=True, slots=True)
class _Queue:
    """What the broker's store knows."""

    version: str
    lanes: dict[str, tuple[int, float | None]]
    in_work: int | None
    put_aside: int
    feeder: bool
    engines: tuple[Engine, ...]
    lexicons: tuple[Standing, ...]
    recent: Summary | None
    store_troubles: Mapping[str, str]


def read_status(config: Config) -> Status:
    """Asks every piece. Never raises for one that is away."""
    queue: _Queue | None = None
    with ThreadPoolExecutor(3) as pool:
        moved = pool.submit(_registry, config)
        stored = pool.submit(_quarantined, config)
        going_on = pool.submit(_open_runs, config)
        try:
            queue = _queue(config)
            broker = Piece(True, queue.version)
        except (redis.RedisError, BrokerError, ValueError) as error:
            broker = Piece(False, type(error).__name__ if isinstance(error, redis.RedisError) else str(error))
        workers = _workers(config) if queue else None
        quarantined = stored.result()
        runs, unread = going_on.result()
        registry, problem = moved.result()
    taking = list(chain.from_iterable(worker.lanes for worker in workers or ()))
    return Status(
        at=datetime.now(UTC),
        broker=broker,
        store=_store(config, quarantined, queue),
        lanes=tuple(_lane(name, queue, None if workers is None else taking.count(name)) for name in LANES),
        in_work=_in_work(queue, workers),
        workers=workers,
        engines=queue.engines if queue else None,
        recent=queue.recent if queue else None,
        quarantined=None if isinstance(quarantined, str) else quarantined,
        put_aside=queue.put_aside if queue else None,
        feeder=queue.feeder if queue else None,
        runs=runs,
        runs_unread=unread,
        lexicons=queue.lexicons if queue else None,
        registry=registry,
        registry_problem=problem,
        configured={name: slot.checkpoint for name, slot in config.slots.items()},
    )


def _store(config: Config, quarantined: int | str, queue: _Queue | None) -> Piece:
    """It answers when it can be read and no worker lately failed to write: a store that is full can still be listed."""
    if isinstance(quarantined, str):
        return Piece(False, quarantined)
    said = sorted({f"{trouble} ({host})" for host, trouble in queue.store_troubles.items()}) if queue else []
    return Piece(False, said[0]) if said else Piece(True, config.store.bucket)


def _queue(config: Config) -> _Queue:
    with open_queues(config, timeout_s=PATIENCE_S) as queues, _state(config) as client:
        return _Queue(
            version=queues.version(),
            lanes={lane: (queues.waiting(lane), queues.oldest_s(lane)) for lane in LANES},
            in_work=queues.in_work(),
            put_aside=queues.put_aside(),
            feeder=bool(client.exists(FEEDER_KEY)),
            engines=tuple(parse_engine(host, raw) for host, raw in beats(client).items()),
            lexicons=told(client),
            recent=summary(client),
            store_troubles=store_troubles(client),
        )


@contextmanager
def _state(config: Config) -> Iterator[redis.Redis]:
    """The state store, asked with short patience; `ConfigError` when there is none."""
    if config.state_url is None:
        raise ConfigError("no broker is configured")
    with redis_client(config.state_url, config.state_tls, timeout_s=PATIENCE_S) as client:
        yield client


def messages_in_work(config: Config, queues: Queues) -> int | None:
    """What workers have, from the broker or else from them; None when they could not be asked."""
    found = queues.in_work()
    return _active(_workers(config)) if found is None else found


def _in_work(queue: _Queue | None, workers: tuple[Worker, ...] | None) -> int | None:
    """RabbitMQ does not say; then the workers are believed."""
    if queue is None or queue.in_work is not None:
        return queue.in_work if queue else None
    return _active(workers)


def _active(workers: tuple[Worker, ...] | None) -> int | None:
    return None if workers is None else sum(worker.active or 0 for worker in workers)


def _lane(name: str, queue: _Queue | None, workers: int | None) -> Lane:
    waiting, oldest_s = queue.lanes[name] if queue else (None, None)
    return Lane(name, waiting, workers, oldest_s)


def _workers(config: Config) -> tuple[Worker, ...] | None:
    """The workers that answer a broadcast; None when it could not be sent."""
    if config.broker.url is None:
        return None
    app = make_celery("liverisk", config.broker.model_copy(update={"socket_timeout_s": PATIENCE_S}))
    try:
        with ThreadPoolExecutor(3) as pool:
            asked = [
                pool.submit(app.control.broadcast, question, reply=True, timeout=REPLIES_S)
                for question in ("stats", "active", "active_queues")
            ]
            stats, active, queues = (_by_worker(answer.result()) for answer in asked)
    except (*AWAY, redis.RedisError):
        return None
    finally:
        app.close()
    return tuple(
        Worker(
            name=name,
            pid=stats[name].get("pid"),
            concurrency=stats[name].get("pool", {}).get("max-concurrency"),
            active=len(active[name]) if name in active else None,
            lanes=tuple(queue["name"] for queue in queues.get(name, ())),
        )
        for name in sorted(stats)
    )


def _by_worker(replies: list[dict[str, Any]] | None) -> dict[str, Any]:
    return {name: said for reply in replies or () for name, said in reply.items()}


def _quarantined(config: Config) -> int | str:
    """How many messages were put aside, or what the store's failure is called."""
    try:
        return sum(1 for _ in Storage(config.store).keys(QUARANTINE))
    except StorageError as error:
        return str(error)


def _registry(config: Config) -> tuple[Registry | None, str]:
    """The registry, or why it cannot be read. That the store is away is told elsewhere."""
    try:
        return read_state(Storage(config.store)).registry, ""
    except (RegistryError, StorageError) as error:
        return None, str(error)


def _open_runs(config: Config) -> tuple[tuple[Progress, ...] | None, tuple[str, ...]]:
    """Where each open run stands, and the names of those that nobody could tell within the patience."""
    until = time.monotonic() + PATIENCE_S
    runs, found, unread = Runs(Storage(config.store)), list[Progress](), list[str]()
    try:
        with _hints(config) as client:
            for run in runs.open():
                try:
                    if time.monotonic() > until:
                        raise RunError(run)
                    found.append(progress(runs, run, client))
                except RunError:
                    unread.append(run)
    except StorageError:
        return None, ()
    return tuple(found), tuple(unread)


@contextmanager
def _hints(config: Config) -> Iterator[redis.Redis | None]:
    """The state store, where the feeder leaves rates; None where it does not answer."""
    if config.state_url is None:
        yield None
        return
    with _state(config) as client:
        try:
            client.ping()
        except redis.RedisError:
            yield None
        else:
            yield client
