"""The pool as Prometheus reads it: what the workers counted, and the state of everything at this moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate, product
from typing import get_args

import redis
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from workers.config import Config, ConfigError
from workers.engine.reported import Engine, Slot
from workers.lanes import LANES
from workers.look import Depth
from workers.metrics import catalogue
from workers.metrics.catalogue import COUNTED, READ, Metric
from workers.metrics.counting import BEYOND, SUM, Labels, read_counts
from workers.quarantine import Reason
from workers.state import connect
from workers.status import Status, read_status

FRESH_S = 5.0
"""Two that ask within this time are told the same: what is asked wakes every worker."""

NEVER_YET: Mapping[Metric, tuple[Labels, ...]] = {
    catalogue.QUARANTINED: tuple((reason,) for reason in get_args(Reason)),
    catalogue.SEGMENTS: tuple(product(LANES, get_args(Depth))),
}
"""Told as 0 before it ever happens: Prometheus sees no rise in a count that begins with 1."""

Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Values = dict[Labels, float]


class PoolCollector(Collector):
    """Reads the pool when it is asked. What does not answer has no value, and `liverisk_answers` says so."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[Family] = []

    def describe(self) -> Iterable[Family]:
        """Nothing: the library would read the pool for it."""
        return ()

    def collect(self) -> Iterator[Family]:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_S:
                self._families = [*counted(self._config), *standing(read_status(self._config))]
                self._read_at = time.monotonic()
            return iter(self._families)


def pool_registry(config: Config) -> CollectorRegistry:
    """What `prometheus_client` serves or prints."""
    registry = CollectorRegistry()
    registry.register(PoolCollector(config))
    return registry


def counted(config: Config) -> Iterator[Family]:
    """What the workers counted; nothing while the broker's store is away."""
    try:
        with connect(config) as client:
            found = read_counts(client)
    except (redis.RedisError, ConfigError):
        return
    for metric in COUNTED:
        values = dict.fromkeys(NEVER_YET.get(metric, ()), 0.0) | found[metric]
        yield _histogram(metric, values) if metric.kind == "histogram" else _plain(metric, values)


def standing(status: Status) -> Iterator[Family]:
    """What the state of the pool tells; a metric that could not be asked for has no value."""
    values: dict[Metric, Values] = {metric: {} for metric in READ}
    _pool(status, values)
    for engine in status.engines or ():
        _engine(engine, status.registry.version if status.registry else 0, values)
    return (_plain(metric, found) for metric, found in values.items())


def _pool(status: Status, values: dict[Metric, Values]) -> None:
    pieces = {"broker": status.broker.answers, "store": status.store.answers, "registry": not status.registry_problem}
    values[catalogue.ANSWERS] = {(name,): float(answers) for name, answers in pieces.items()}
    for metric, field in (
        (catalogue.LANE_WAITING, "waiting"),
        (catalogue.LANE_OLDEST, "oldest_s"),
        (catalogue.LANE_WORKERS, "workers"),
    ):
        values[metric] = _known({(lane.name,): getattr(lane, field) for lane in status.lanes})
    if status.workers is not None:
        values[catalogue.CHILDREN] = {(): _total(one.concurrency for one in status.workers)}
        values[catalogue.BUSY] = {(): _total(one.active for one in status.workers)}
    values[catalogue.IN_WORK] = _known({(): status.in_work})
    values[catalogue.QUARANTINE] = _known({(): status.quarantined})
    values[catalogue.FEEDERS] = _known({(): status.feeder})
    if status.store.answers and not status.registry_problem:
        values[catalogue.MOVES] = {(): status.registry.version if status.registry else 0}
    for run in status.runs or ():
        _add(values[catalogue.OPEN_RUNS], (run.kind, run.state), 1)
        _add(values[catalogue.RUN_WAITING], (run.kind,), run.waiting)
    if status.lexicons is not None:
        values[catalogue.LEXICONS] = {(): len({one.digest for one in status.lexicons})}
        values[catalogue.LEXICON_PROBLEMS] = {(): sum(one.problem is not None for one in status.lexicons)}


def _engine(engine: Engine, moves: int, values: dict[Metric, Values]) -> None:
    host = engine.host
    values[catalogue.ENGINE_READY][host, engine.device] = float(engine.ready)
    values[catalogue.ENGINE_MEMORY] |= _known({(host,): engine.rss_bytes})
    if engine.registry is not None:
        values[catalogue.ENGINE_BEHIND][host,] = max(0, moves - engine.registry)
    values[catalogue.ENGINE_PROBLEMS] |= {(host, slot): float(slot in engine.problems) for slot in engine.slots}
    roles = {"active": engine.slots, "deep": engine.deep, "canary": engine.canary, "shadow": engine.shadow}
    for role, slots in roles.items():
        for name, slot in slots.items():
            _slot((host, name, role, f"{slot.checkpoint.id}@{slot.checkpoint.digest[:12]}"), slot, values)


def _slot(labels: Labels, slot: Slot, values: dict[Metric, Values]) -> None:
    values[catalogue.BATCHES][labels] = slot.batches
    values[catalogue.ITEMS][labels] = slot.items
    values[catalogue.FAILED][labels] = slot.failed
    values[catalogue.WAITING][labels] = slot.waiting
    values[catalogue.BUSY_S][labels] = slot.busy_s
    values[catalogue.BULK_S][labels] = slot.bulk_busy_s


def _plain(metric: Metric, values: Values) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, value in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, values: Values) -> Family:
    """Counted by narrowest bucket, told as Prometheus wants it: each with all that are smaller."""
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    bounds = [*map(str, metric.buckets), BEYOND]
    for labels in sorted({key[:-1] for key in values}):
        counts = accumulate(values.get((*labels, bound), 0.0) for bound in bounds)
        family.add_metric(labels, list(zip(bounds, counts, strict=True)), values.get((*labels, SUM), 0.0))
    return family


def _known(values: dict[Labels, float | None]) -> Values:
    return {labels: float(value) for labels, value in values.items() if value is not None}


def _add(values: Values, labels: Labels, amount: float) -> None:
    values[labels] = values.get(labels, 0.0) + amount


def _total(numbers: Iterable[int | None]) -> int:
    return sum(number or 0 for number in numbers)
