"""The body of `liverisk.conclude`: one batch fused in the order of time, recorded once, and its receipt left.

No model is asked. Everything can be read again, so a batch that was begun is simply begun anew: records that are
there stand, and only what is missing is written.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Literal

import redis

from pipelines.fusion import UnknownCheckpoint, instants
from pipelines.record import Record
from workers.classify import AWAY, Bench
from workers.logs import raised_at
from workers.records import READERS, RecordError, key_of, place_of, read_record, read_records, write_record
from workers.runs.changes import changes_between
from workers.runs.courtesy import Courtesy
from workers.runs.derive import derived, looking_back
from workers.runs.history import Fuser, Instants, speaking, stream_history
from workers.runs.hold import held, tell
from workers.runs.messages import batch_task
from workers.runs.reexamination import modalities_of
from workers.runs.run import Batch, Change, Item, Named, Outcome, Plan, Receipt
from workers.runs.store import RunError, Runs

logger = logging.getLogger(__name__)

Conclusion = Literal["concluded", "known", "held", "early"]
"""`early`: not every segment of the batch has its outcome, so another message will follow."""
HISTORIES = 4
"""Streams whose past is read at a time."""
UNREADABLE = "outcome_unreadable"
"""Why stored observations stand: what was examined again cannot be read, as after a change of its format."""


@dataclass(frozen=True)
class _Part:
    """One segment of the batch: what it starts from, and what re-examining it gave."""

    item: Item
    source: Record | RecordError
    outcome: Outcome


@dataclass
class _Batch:
    """One batch on its way. `writing` gives each record's changes, in the order of the batch."""

    plan: Plan
    fuser: Fuser
    bench: Bench
    pool: ThreadPoolExecutor
    courtesy: Courtesy
    prefer: Sequence[str]
    writing: list[Future[tuple[Change, ...]]] = field(default_factory=list)
    unexaminable: list[Named] = field(default_factory=list)
    kept: list[Named] = field(default_factory=list)


def conclude(run: str, number: int, bench: Bench, runs: Runs) -> Conclusion:
    """Fuses the batch and leaves its receipt. Raises only what is worth trying again.

    A stream that began in an earlier batch has its records of that one, which the feeder waits for: with the
    records of segments that the run does not touch, they are the past that fusion looks at.
    """
    if held(bench.redis, run) or runs.state(run) != "running":
        return "held"
    if runs.has_receipt(run, number):
        return "known"
    batch = runs.batch(run, number)
    due = {index for index, item in enumerate(batch.items) if item.stages}
    if due and not due <= runs.outcomes(run, number):
        logger.warning("batch not concluded run=%s batch=%d error=early", run, number)
        return "early"
    task = batch_task(run, number)
    bench.state.note_running(task, bench.config.bulk_time_limit_s)
    try:
        receipt = _receipt(batch, runs.plan(run), bench, runs)
    except Exception as error:
        if not isinstance(error, AWAY):  # for whoever asks why the run stands still
            bench.state.note_failure(task, f"{type(error).__name__} at {raised_at(error)}")
        raise
    if receipt is None:
        with suppress(redis.RedisError):
            bench.state.forget_attempts(task)
        return "held"
    runs.put_receipt(run, receipt)
    with suppress(redis.RedisError):
        bench.state.forget_attempts(task)
        tell(bench.redis)
    logger.info("batch concluded run=%s batch=%d recorded=%d", run, number, receipt.recorded)
    return "concluded"


def _receipt(batch: Batch, plan: Plan, bench: Bench, runs: Runs) -> Receipt | None:
    """None when the run was held before the last segment."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="conclude") as pool:
        prefer = speaking(bench.storage, plan, (item.source for item in batch.items))
        courtesy = Courtesy(bench.engine, bench.config.engine.bulk_share)
        work = _Batch(plan, Fuser.of(plan.policies, bench.labels), bench, pool, courtesy, prefer)
        parts = _parts(batch, work, runs)
        streams = [list(group) for _, group in groupby(parts, key=lambda part: _stream(part.item))]
        for start in range(0, len(streams), HISTORIES):
            courtesy.give_way()
            some = streams[start : start + HISTORIES]
            for stream, history in zip(some, pool.map(lambda one: _history(one, work), some), strict=True):
                if not _concluded(stream, history, work):
                    return None
        changes = [change for written in work.writing for change in written.result()]
    return Receipt(
        batch=batch.number,
        at=datetime.now(UTC),
        recorded=len(work.writing),
        unexaminable=tuple(work.unexaminable),
        kept=tuple(work.kept),
        changes=tuple(changes),
    )


def _parts(batch: Batch, work: _Batch, runs: Runs) -> list[_Part]:
    """Every segment of the batch with all that is stored of it; several are read at a time."""

    def outcome(index: int) -> Outcome:
        stages = batch.items[index].stages
        try:
            return (runs.outcome(work.plan.run, batch.number, index) if stages else None) or Outcome()
        except RunError:
            return Outcome(reused=dict.fromkeys(modalities_of(stages), UNREADABLE))

    parts: list[_Part] = []
    for start in range(0, len(batch.items), READERS):
        work.courtesy.give_way()
        items = batch.items[start : start + READERS]
        outcomes = work.pool.map(outcome, range(start, start + len(items)))
        sources = read_records(work.bench.storage, [item.source for item in items])
        parts += [_Part(*found) for found in zip(items, sources, outcomes, strict=True)]
    return parts


def _history(stream: Sequence[_Part], work: _Batch) -> Instants:
    """What the stream's other segments say in the windows before those of the batch, and not of the time between."""
    own = [part.source for part in stream if isinstance(part.source, Record)]
    found: Instants = {}
    for since, until in _windows(own, work.plan):
        found |= stream_history(
            work.bench.storage,
            _stream(stream[0].item),
            since,
            until,
            work.fuser,
            prefer=work.prefer,
            without={source.segment_id for source in own},
        )
    return found


def _windows(sources: Iterable[Record], plan: Plan) -> Sequence[tuple[datetime, datetime]]:
    """The time that fusion looks back on from each segment; windows that touch are one."""
    windows: list[tuple[datetime, datetime]] = []
    for source in sorted(sources, key=lambda source: source.captured_at):
        start = source.captured_at
        since = start - timedelta(seconds=plan.policies.fusion.lookback_s(looking_back(source, plan)))
        while windows and since <= windows[-1][1]:
            since = min(since, windows.pop()[0])
        windows.append((since, start))
    return windows


def _concluded(stream: Sequence[_Part], history: Instants, work: _Batch) -> bool:
    """Fuses one stream's part of the batch in order; False when the run was held on the way."""
    for part in stream:
        work.courtesy.give_way()
        if held(work.bench.redis, work.plan.run):
            return False
        if isinstance(part.source, RecordError):
            work.unexaminable.append(_named(part, "the source record cannot be read"))
            continue
        source, at = part.source, part.source.captured_at.timestamp()
        try:
            record = _fused(part, source, history, work)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:  # one odd segment holds up no batch
            work.unexaminable.append(_named(part, _why(error)))
            history[at] = instants(source.verdicts)
            continue
        history[at] = instants(record.verdicts)
        if part.outcome.reused:
            reasons = ", ".join(f"{modality} {reason}" for modality, reason in part.outcome.reused.items())
            work.kept.append(_named(part, reasons))
        work.writing.append(work.pool.submit(_written, source, record, work.bench))
    return True


def _fused(part: _Part, source: Record, history: Instants, work: _Batch) -> Record:
    settings = work.bench.config.examination.for_profile(work.plan.profile)
    return derived(
        source,
        part.item,
        part.outcome,
        work.plan,
        work.fuser,
        history,
        settings=settings,
        worker=work.bench.worker,
    )


def _written(source: Record, record: Record, bench: Bench) -> tuple[Change, ...]:
    """Writes the record unless an earlier delivery did; the changes of the one that stands."""
    if not write_record(bench.storage, record):
        record = read_record(bench.storage, key_of(record))
    return changes_between(source, record)


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, UnknownCheckpoint) else f"{type(error).__name__} at {raised_at(error)}"


def _named(part: _Part, reason: str) -> Named:
    place = place_of(part.item.source)
    return Named(
        stream_id=place.stream_id if place else "unknown",
        segment_id=place.segment_id if place else "unknown",
        reason=reason,
    )


def _stream(item: Item) -> str:
    place = place_of(item.source)
    return place.stream_id if place else ""
