"""Whether a rescan that only fuses anew costs the same for each segment however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

import psutil

from tests.benchmarks.bench import Bench, machine, say
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.run import Plan

TOLERANCE = 0.15
MEMORY_TOLERANCE = 1.1
REPEATS = {1: 3, 100: 3, 1000: 2}


@dataclass(frozen=True, slots=True)
class Size:
    """A rescan of so many segments: seconds from order to finish, of which planning, and the feeder's memory."""

    segments: int
    wall_s: float
    planning_s: float
    feeder_mib: float

    def each_ms(self, alone_s: float) -> float:
        """What a segment adds to what a rescan of a single one takes."""
        return (self.wall_s - alone_s) / (self.segments - 1) * 1000


def grow(bench: Bench, sizes: Sequence[int], order: Callable[[int], RescanOrder]) -> Iterator[str]:
    """Rescans of each size, smallest first; what is not as it must be."""
    found = {size: _measured(bench, order(size), REPEATS.get(size, 1)) for size in (1, *sizes)}
    alone = found.pop(1)
    say(f"growth   one segment alone: {alone.wall_s:.2f} s, of which planning {alone.planning_s:.2f} s; {machine()}")
    say("growth   segments      wall   planning   each ms   each beyond the first   feeder")
    for size in found.values():
        say(
            f"growth   {size.segments:>8} {size.wall_s:>7.1f} s {size.planning_s:>8.1f} s"
            f" {size.wall_s / size.segments * 1000:>9.1f} {size.each_ms(alone.wall_s):>20.1f} ms"
            f" {size.feeder_mib:>7.0f} MiB"
        )
    yield from _shortfalls(found, alone.wall_s)


def _shortfalls(found: Mapping[int, Size], alone_s: float) -> Iterator[str]:
    each = [size.each_ms(alone_s) for size in found.values()]
    for size, ms in zip(found, each, strict=True):
        if abs(ms / mean(each) - 1) > TOLERANCE:
            yield f"growth: {ms:.1f} ms a segment of {size}, {mean(each):.1f} ms on average"
    smaller, *_, largest = (0.0, *(size.feeder_mib for size in found.values()))
    before = max([smaller, *(size.feeder_mib for size in list(found.values())[:-1])])
    if len(found) > 1 and largest > before * MEMORY_TOLERANCE:
        yield f"growth: the feeder held {largest:.0f} MiB at the largest size and {before:.0f} MiB before"


def _measured(bench: Bench, order: RescanOrder, repeats: int) -> Size:
    """The middle one of several equal rescans."""
    runs = [_once(bench, order) for _ in range(repeats)]
    return Size(
        segments=runs[0].segments,
        wall_s=median(run.wall_s for run in runs),
        planning_s=median(run.planning_s for run in runs),
        feeder_mib=max(run.feeder_mib for run in runs),
    )


def _once(bench: Bench, order: RescanOrder) -> Size:
    """The end is the moment that the run itself notes, so looking seldom does not blur it."""
    peak = [0.0]

    def over(plan: Plan) -> bool:
        peak[0] = max(peak[0], _feeder_mib(bench))
        return bench.over(plan.run)

    began, clock = time.time(), time.monotonic()
    plan = plan_rescan(bench.config, bench.storage, order)
    planning_s = time.monotonic() - clock
    bench.wait(lambda: over(plan), f"{plan.run} is over", timeout_s=3600, every_s=0.5)
    finished = bench.runs.marked(plan.run, "finished")
    assert finished is not None
    return Size(plan.selected, finished.at.timestamp() - began, planning_s, peak[0])


def _feeder_mib(bench: Bench) -> float:
    try:
        feeder = bench.feeder()
        return feeder.memory_info().rss / 2**20 if feeder is not None else 0.0
    except psutil.Error:
        return 0.0
