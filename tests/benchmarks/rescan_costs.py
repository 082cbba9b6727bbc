"""What a rescan costs after each kind of change, and how well its dry run had said so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.benchmarks.bench import Bench, machine, say
from workers.runs.diff import Diff, read_diff
from workers.runs.dry_run import Forecast, forecast
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.run import Plan

CHEAPER = {"policy": 50.0, "text": 5.0}
"""How many times cheaper than everything anew a rescan after this change must be, in wall time and engine time."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One rescan: what its dry run expected, and what came."""

    name: str
    plan: Plan
    planned_s: float
    wall_s: float
    engine_s: float
    dry_run_s: float
    expected: Forecast
    came: Diff

    @property
    def segments(self) -> int:
        return self.plan.selected

    @property
    def wall_each_s(self) -> float:
        return self.wall_s / self.segments

    @property
    def engine_each_s(self) -> float:
        return self.engine_s / self.segments


def cost(bench: Bench, name: str, order: RescanOrder, *, sample: int) -> Cost:
    """Tries the order, then carries it out."""
    began = time.monotonic()
    expected = forecast(bench.config, bench.storage, order, sample=sample)
    tried = time.monotonic()
    before = bench.busy_s()
    started = time.monotonic()
    plan = plan_rescan(bench.config, bench.storage, order)
    planned = time.monotonic()
    bench.finish(plan)
    ended = time.monotonic()
    found = Cost(
        name=name,
        plan=plan,
        planned_s=planned - started,
        wall_s=ended - started,
        engine_s=bench.busy_s() - before,
        dry_run_s=tried - began,
        expected=expected,
        came=read_diff(bench.storage, plan.run),
    )
    say(f"  {name}: {found.segments} segments in {found.wall_s:.1f} s; {machine()}")
    return found


def report(costs: Sequence[Cost]) -> None:
    """One table of costs, one of what the dry runs said. The last of the costs is everything anew."""
    full = costs[-1]
    say("changed    segments  reran                        wall   planning     engine   cheaper, wall   engine")
    for one in costs:
        reran = ",".join(one.plan.stages) or "nothing"
        say(
            f"{one.name:<10} {one.segments:>8}  {reran:<20} {one.wall_s:>8.1f} s {one.planned_s:>8.1f} s"
            f" {one.engine_s:>8.1f} s {_times(full.wall_each_s, one.wall_each_s):>12}"
            f" {_times(full.engine_each_s, one.engine_each_s):>14}"
        )
    say("dry run     took    ETA / wall        engine expected / used      changed, expected / came")
    for one in costs:
        eta = one.expected.estimate
        wall = f"{eta.wall_s:.1f} / {one.wall_s:.1f} s" if eta else f"unknown / {one.wall_s:.1f} s"
        engine = f"{eta.engine_s:.1f} / {one.engine_s:.1f} s" if eta else "unknown"
        say(
            f"{one.name:<10} {one.dry_run_s:>4.1f} s    {wall:<20} {engine:<26}"
            f" {_expected_changes(one):.0f} / {one.came.changed_segments}"
            f"   (of {one.expected.sampled} sampled: {_kinds(one.expected)}; came: {_came(one.came)})"
        )


def shortfalls(costs: Sequence[Cost]) -> Iterator[str]:
    """What is not as it must be, compared by segment. The last of the costs is everything anew."""
    full = costs[-1]
    for one in costs:
        if one.came.recorded != one.segments:
            yield f"{one.name}: {one.came.recorded} records for {one.segments} segments"
        if one.expected.stages != one.plan.stages or one.expected.selected != one.segments:
            yield f"{one.name}: the dry run counted other segments or stages than the run had"
        bar = CHEAPER.get(one.name)
        wall, engine = (full.wall_each_s, one.wall_each_s), (full.engine_each_s, one.engine_each_s)
        for what, (dear, cheap) in {"wall": wall, "engine": engine}.items():
            if bar and cheap * bar > dear:
                yield f"{one.name}: {_times(dear, cheap)} cheaper in {what} time, not {bar:.0f} times"


def _expected_changes(one: Cost) -> float:
    return one.expected.segments_changed * one.segments / max(1, one.expected.sampled)


def _kinds(expected: Forecast) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in expected.changes.items()) or "nothing"


def _came(came: Diff) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in came.total.model_dump().items() if count) or "nothing"


def _times(full: float, one: float) -> str:
    return f"{full / one:.1f} x" if one else "no engine"
