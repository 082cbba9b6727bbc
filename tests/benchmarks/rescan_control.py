"""Pausing, cancelling, applying and undoing a rescan: what stops, what stays, what changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from pipelines.record import Record
from tests.benchmarks.bench import Bench, say
from workers.broker.queues import RedisQueues
from workers.records import read_records, record_keys
from workers.runs.applied import apply_run, undo_run
from workers.runs.diff import read_diff
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.progress import cancel, pause, resume
from workers.runs.run import Plan
from workers.verdicts.query import answer

BY = "prove-rescan"
QUIET_S = 3.0
APPLIED = "runs/applied/"


def hold_and_cancel(bench: Bench, name: str, order: RescanOrder) -> Iterator[str]:
    """A rescan paused on its way, resumed, cancelled; what is not as it must be."""
    slots = bench.config.worker.concurrency
    plan = plan_rescan(bench.config, bench.storage, order)
    bench.wait(lambda: _done(bench, plan) >= plan.selected // 10, f"{plan.run} is on its way", every_s=0.05)
    paused_at = datetime.now(UTC)
    pause(bench.runs, plan.run, BY, bench.client)
    at_pause = _done(bench, plan)
    stopped_s = bench.wait(bench.idle, "nothing is in work any more", every_s=0.05)
    time.sleep(QUIET_S)
    late = _done(bench, plan) - at_pause if plan.stages else _begun_after(bench, plan, paused_at)
    stopped_at = _done(bench, plan)
    say(
        f"{name:<8} paused at {at_pause} of {plan.selected}: {late} more by {slots} slots; still"
        f" after {stopped_s:.1f} s"
    )
    if at_pause >= plan.selected:
        yield f"{name}: the rescan was over before it could be paused; give it more segments"
        return
    if late > slots:
        yield f"{name}: {late} segments were done after the pause, by {slots} slots"
    resume(bench.runs, plan.run, BY, bench.client)
    bench.wait(lambda: _done(bench, plan) > stopped_at, f"{plan.run} goes on", every_s=0.05)
    cancel(bench.runs, plan.run, BY, bench.client)
    yield from _silence(bench, name, plan)


def _silence(bench: Bench, name: str, plan: Plan) -> Iterator[str]:
    """What a cancelled run must not leave."""
    queues = RedisQueues(bench.client)
    waiting = queues.waiting(plan.lane)
    gone_s = bench.wait(lambda: not queues.under_way(plan.lane, plan.run), "its messages are gone", every_s=0.05)
    closed_s = bench.wait(lambda: plan.run not in bench.runs.open(), "the run is closed")
    done = _done(bench, plan)
    time.sleep(QUIET_S)
    left, more = int(bench.client.llen(plan.lane)), _done(bench, plan) - done
    say(
        f"{name:<8} cancelled at {done} of {plan.selected}: {waiting} messages in its lane at once, none with its name"
        f" after {gone_s:.1f} s, closed after {closed_s:.1f} s more; {left} messages left, {more} segments done since"
    )
    if left or queues.under_way(plan.lane, plan.run):
        yield f"{name}: a cancelled run left messages"
    if more:
        yield f"{name}: {more} segments were done after the run was closed"


def apply_and_undo(bench: Bench, order: RescanOrder) -> Iterator[str]:
    """A finished rescan applied and undone; what is not as it must be."""
    plan = plan_rescan(bench.config, bench.storage, order)
    bench.finish(plan)
    came = read_diff(bench.storage, plan.run)
    before, live, stored = _rows(bench, "current_verdicts"), _rows(bench, "verdicts"), _objects(bench)
    apply_run(bench.storage, plan.run, BY)
    applied, applied_live, applied_stored = _rows(bench, "current_verdicts"), _rows(bench, "verdicts"), _objects(bench)
    undo_run(bench.storage, plan.run, BY)
    undone, undone_stored = _rows(bench, "current_verdicts"), _objects(bench)
    say(
        f"apply    {came.total.total} changes in {came.changed_segments} of {came.recorded} segments;"
        f" {len(stored)} objects, digest before {_digest(stored)}, applied {_digest(applied_stored)},"
        f" undone {_digest(undone_stored)}; {len(before ^ applied) // 2} current verdicts differ, undone"
        f" {len(before ^ undone)}"
    )
    if came.total.total == 0:
        yield "apply: the rescan changed nothing, so applying it proves nothing"
    if not stored == applied_stored == undone_stored:
        yield "apply: objects other than the pointer changed"
    if applied_live != live:
        yield "apply: the verdicts themselves changed"
    if applied == before:
        yield "apply: the current verdicts did not change"
    if undone != before:
        yield "undo: the current verdicts are not those of before"


def _begun_after(bench: Bench, plan: Plan, moment: datetime) -> int:
    """Records of segments that were taken in hand after it: one slot may still write some that it had fused before."""
    found = read_records(bench.storage, record_keys(bench.storage, run=plan.run))
    return sum(isinstance(one, Record) and one.processing.started_at > moment for one in found)


def _rows(bench: Bench, table: str) -> frozenset[tuple[object, ...]]:
    columns = "stream_id, segment_id, policy, run, severity, action, probability"
    return frozenset(answer(bench.storage, f"SELECT {columns} FROM {table}").rows)  # the table is ours


def _objects(bench: Bench) -> dict[str, str]:
    """Key -> content digest, of everything stored but the list of what is applied."""
    return {key: etag for key, etag in bench.etags() if not key.startswith(APPLIED)}


def _digest(objects: dict[str, str]) -> str:
    return hashlib.sha256(repr(sorted(objects.items())).encode()).hexdigest()[:12]


def _done(bench: Bench, plan: Plan) -> int:
    """Segments examined, or where no model runs, recorded: a batch in work counts by its records."""
    if plan.stages:
        found = bench.progress(plan.run)
        return found.examined + found.done
    return sum(1 for _ in record_keys(bench.storage, run=plan.run))
