"""What workers count, kept in the broker's store: one hash of numbers, added to by whoever did the work.

A child that is killed takes no count with it, a restart loses none, and one reader has the sum of the pool
(docs/decisions/0014-metrics-are-read-from-what-is-stored.md). Counting fails no segment: a lost count is a lost count.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

import redis
from celery.exceptions import Ignore, Reject

from pipelines.record import Record
from workers.lanes import Lane
from workers.look import Depth
from workers.metrics import catalogue
from workers.metrics.catalogue import COUNTED, Metric

KEY = "liverisk:counted"
TTL_S = 30 * 24 * 3600
"""A pool that nobody used for so long begins to count anew."""
BEYOND = "+Inf"
SUM = "sum"

Counts = defaultdict[str, float]
Labels = tuple[str, ...]
"""Values of a metric's labels, in their order; of a histogram the bucket's upper bound, or `sum`, comes last."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts how the messages of one task end. `client` opens the connection when there is something to count."""

    client: Callable[[], redis.Redis]
    task: str
    lane: Lane

    def count(self, deliver: Callable[[], object]) -> None:
        """Delivers a message and counts what came out, or that it went back."""
        try:
            outcome = deliver()
        except (Reject, Ignore) as back:
            self._add(catalogue.PUT_BACK, str(back.args[0]))
            raise
        self._add(catalogue.MESSAGES, str(outcome))

    def _add(self, metric: Metric, what: str) -> None:
        # What keeps the message from being worked on may keep the connection from being opened.
        with suppress(Exception):
            add(self.client(), {_field(metric, self.task.rpartition(".")[2], self.lane, what): 1})


def count_record(client: redis.Redis, record: Record, *, lane: Lane, depth: Depth, waited_s: float | None) -> None:
    """Adds what this record tells. May raise `redis.RedisError`, which fails no segment."""
    counts: Counts = defaultdict(float)
    done = record.processing
    counts[_field(catalogue.SEGMENTS, lane, depth)] += 1
    counts[_field(catalogue.REPEATED, lane)] += done.attempt - 1
    if record.run == "live":
        _observe(counts, catalogue.LATENCY, (lane,), max(0.0, done.latency_s))
    if waited_s is not None:
        _observe(counts, catalogue.STAGE, (lane, "waiting"), waited_s)
    for stage, took_ms in done.stage_ms.items():
        _observe(counts, catalogue.STAGE, (lane, stage), took_ms / 1000)
    for modality, seen in record.observations.coverage.items():
        counts[_field(catalogue.COVERAGE, modality, seen.status, seen.reason or "")] += 1
        counts[_field(catalogue.EXAMINED, modality)] += seen.examined
        counts[_field(catalogue.RECEIVED, modality)] += seen.total
        for reason, amount in seen.skipped.items():
            counts[_field(catalogue.SKIPPED, modality, reason)] += amount
    for verdict in record.verdicts:
        if verdict.action != "allow":
            counts[_field(catalogue.VERDICTS, verdict.policy, verdict.action)] += 1
    add(client, counts)


def count_quarantined(client: redis.Redis, reason: str) -> None:
    """May raise `redis.RedisError`."""
    add(client, {_field(catalogue.QUARANTINED, reason): 1})


def add(client: redis.Redis, counts: Mapping[str, float]) -> None:
    """One round trip, however many counts."""
    with client.pipeline(transaction=False) as pipe:
        for field, amount in counts.items():
            if amount:
                pipe.hincrbyfloat(KEY, field, round(amount, 6))
        pipe.expire(KEY, TTL_S)
        pipe.execute()


def read_counts(client: redis.Redis) -> dict[Metric, dict[Labels, float]]:
    """Every count so far; what another version counted and this one does not know is passed over."""
    known = {metric.name: metric for metric in COUNTED}
    found: dict[Metric, dict[Labels, float]] = {metric: {} for metric in COUNTED}
    stored = client.hgetall(KEY)
    assert isinstance(stored, dict)
    for field, value in stored.items():
        with suppress(ValueError, TypeError):
            name, *labels = json.loads(field)
            metric = known.get(name)
            if metric is not None and len(labels) == len(metric.labels) + (metric.kind == "histogram"):
                found[metric][tuple(map(str, labels))] = float(value)
    return found


def _observe(counts: Counts, metric: Metric, labels: Labels, value: float) -> None:
    """One observation: in the narrowest bucket that takes it, and in the sum."""
    place = bisect_left(metric.buckets, value)
    bound = BEYOND if place == len(metric.buckets) else str(metric.buckets[place])
    counts[_field(metric, *labels, bound)] += 1
    counts[_field(metric, *labels, SUM)] += value


def _field(metric: Metric, *labels: str) -> str:
    return json.dumps([metric.name, *labels])
