"""Whether a rescan that only fuses anew costs the same for each segment however many there are.

The largest takes minutes, in which a shared machine is slower and faster than in the seconds of the others: every time
is also told as it would be at one speed, that of the machine on average.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean, median

import psutil

from tests.benchmarks.bench import Bench, machine, say
from tests.benchmarks.yardstick import Yardstick, yardstick
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.run import Plan

TOLERANCE = 0.15
MEMORY_TOLERANCE = 1.1
REPEATS = {1: 5, 100: 5, 1000: 3}


@dataclass(frozen=True, slots=True)
class Size:
    """A rescan of so many segments: seconds from order to finish, of which planning, and the feeder's memory.

    `unit_s` is what the yardstick's piece of work took meanwhile.
    """

    segments: int
    wall_s: float
    planning_s: float
    feeder_mib: float
    unit_s: float

    def each_ms(self, alone: Size) -> float:
        """What a segment adds to what a rescan of a single one takes."""
        return (self.wall_s - alone.wall_s) / (self.segments - 1) * 1000

    def at(self, unit_s: float) -> Size:
        """The same on a machine as fast as this says."""
        faster = unit_s / self.unit_s
        return replace(self, wall_s=self.wall_s * faster, planning_s=self.planning_s * faster, unit_s=unit_s)


def grow(bench: Bench, sizes: Sequence[int], order: Callable[[int], RescanOrder]) -> Iterator[str]:
    """Rescans of each size, smallest first; what is not as it must be."""
    with yardstick() as measuring:
        found = {size: _measured(bench, measuring, order(size)) for size in (1, *sizes)}
    alone, unit_s = found[1], mean(size.unit_s for size in found.values())
    say(f"growth   one segment alone: {alone.wall_s:.2f} s, of which planning {alone.planning_s:.2f} s; {machine()}")
    say("growth   segments      wall   planning   each ms   beyond the first   machine   at one speed   feeder")
    evened = {size: one.at(unit_s).each_ms(alone.at(unit_s)) for size, one in found.items() if size > 1}
    for count, each_ms in evened.items():
        size = found[count]
        say(
            f"growth   {count:>8} {size.wall_s:>7.1f} s {size.planning_s:>8.1f} s {size.wall_s / count * 1000:>9.1f}"
            f" {size.each_ms(alone):>15.1f} ms {unit_s / size.unit_s:>8.2f}x {each_ms:>11.1f} ms"
            f" {size.feeder_mib:>4.0f} MiB"
        )
    yield from _uneven(evened)
    yield from _more_memory([size.feeder_mib for count, size in found.items() if count > 1])


def _uneven(evened: Mapping[int, float]) -> Iterator[str]:
    average = mean(evened.values())
    for count, ms in evened.items():
        if abs(ms / average - 1) > TOLERANCE:
            yield f"growth: {ms:.1f} ms a segment of {count} at one speed, {average:.1f} ms on average"


def _more_memory(feeder_mib: Sequence[float]) -> Iterator[str]:
    *before, largest = feeder_mib
    if before and largest > max(before) * MEMORY_TOLERANCE:
        yield f"growth: the feeder held {largest:.0f} MiB at the largest size and {max(before):.0f} MiB before"


def _measured(bench: Bench, measuring: Yardstick, order: RescanOrder) -> Size:
    """The middle one of several equal rescans."""
    runs = [first := _once(bench, measuring, order)]
    runs += [_once(bench, measuring, order) for _ in range(1, REPEATS.get(first.segments, 1))]
    return Size(
        segments=first.segments,
        wall_s=median(run.wall_s for run in runs),
        planning_s=median(run.planning_s for run in runs),
        feeder_mib=max(run.feeder_mib for run in runs),
        unit_s=mean(run.unit_s for run in runs),
    )


def _once(bench: Bench, measuring: Yardstick, order: RescanOrder) -> Size:
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
    wall_s = finished.at.timestamp() - began
    return Size(plan.selected, wall_s, planning_s, peak[0], measuring.unit_s(clock, clock + wall_s))


def _feeder_mib(bench: Bench) -> float:
    try:
        feeder = bench.feeder()
        return feeder.memory_info().rss / 2**20 if feeder is not None else 0.0
    except psutil.Error:
        return 0.0
