"""What was measured, as it is stored, and what follows from it: figures, ratios, and how they stand to their bars."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence
from math import ceil
from typing import Literal, Self

from pydantic import Field

from pipelines.strict import Strict
from workers.bench.corpus import SEGMENT_S, Shape


class Burst(Strict):
    """Segments of one shape, handed over as fast as they were taken, and what each part of the contender did for it."""

    segments: int
    wall_s: float
    part_cpu_s: dict[str, float]

    @property
    def cpu_s(self) -> float:
        return sum(self.part_cpu_s.values())


class Load(Strict):
    """Busy segments handed over at a share of what the contender can do, and how long each one took, in seconds."""

    share: float
    latency_s: tuple[float, ...]


class Measured(Strict):
    """One contender in one block. `first_s`: from its start to its first result, whatever it had to load."""

    contender: str
    block: int
    ready_s: float
    first_s: float
    alone_s: tuple[float, ...] = Field(description="busy segments one after the other")
    bursts: dict[Shape, Burst]
    loads: tuple[Load, ...]
    part_memory_mib: dict[str, float] = Field(description="proportional set size of each part after the bursts")

    @property
    def memory_mib(self) -> float:
        return sum(self.part_memory_mib.values())


class Machine(Strict):
    cores: int
    processor: str
    python: str

    @classmethod
    def this(cls) -> Self:
        return cls(cores=os.cpu_count() or 1, processor=_processor(), python=platform.python_version())


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123  # not a file of ours
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


class Stage(Strict):
    """One way to run one model alone: items a second and CPU seconds an item, of each block."""

    model: str
    way: str
    unit: str
    per_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


class Growth(Strict):
    """So many segments in one go. `memory_mib` at its end."""

    segments: int
    wall_s: float
    memory_mib: float


class Savings(Strict):
    """The same segments with all savings and with none, one at a time."""

    segments: int
    planted: int
    flagged: int
    changed: tuple[str, ...]
    wall_s: float
    wall_without_s: float


class Report(Strict):
    """`liverisk bench --json`."""

    schema_id: Literal["liverisk.bench"] = Field(default="liverisk.bench", alias="schema")
    version: Literal[1] = 1
    made_at: str
    machine: Machine
    command: str
    seed: int
    measured: tuple[Measured, ...] = ()
    stages: tuple[Stage, ...] = ()
    growth: tuple[Growth, ...] = ()
    savings: Savings | None = None
    help_s: float | None = None

    @property
    def contenders(self) -> Sequence[str]:
        return tuple(dict.fromkeys(one.contender for one in self.measured))

    @property
    def shapes(self) -> Sequence[Shape]:
        return tuple(dict.fromkeys(shape for one in self.measured for shape in one.bursts))

    def of(self, contender: str) -> Sequence[Measured]:
        return [one for one in self.measured if one.contender == contender]

    def bursts(self, contender: str, shapes: Iterable[Shape]) -> Sequence[Burst]:
        """Empty unless every one of these shapes was measured."""
        wanted = set(shapes)
        blocks = [one for one in self.of(contender) if wanted and wanted <= set(one.bursts)]
        return [one.bursts[shape] for one in blocks for shape in sorted(wanted)]

    def throughput(self, contender: str, *shapes: Shape) -> float | None:
        """Seconds of stream a second of wall clock, over these shapes in equal parts."""
        found = self.bursts(contender, shapes or self.shapes)
        return stream_s(found) / sum(burst.wall_s for burst in found) if found else None

    def cpu(self, contender: str, *shapes: Shape) -> float | None:
        """CPU seconds a second of stream."""
        found = self.bursts(contender, shapes or self.shapes)
        return sum(burst.cpu_s for burst in found) / stream_s(found) if found else None

    def latencies(self, contender: str, share: float) -> Sequence[float]:
        return [
            latency
            for one in self.of(contender)
            for load in one.loads
            if load.share == share
            for latency in load.latency_s
        ]

    def alone_s(self, contender: str) -> float | None:
        return median(taken for one in self.of(contender) for taken in one.alone_s)

    def memory_mib(self, contender: str) -> float | None:
        return median(one.memory_mib for one in self.of(contender))


def stream_s(bursts: Iterable[Burst]) -> float:
    return sum(burst.segments * SEGMENT_S for burst in bursts)


def percentile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least this share of them does not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else None


def median(values: Iterable[float]) -> float | None:
    return percentile(values, 0.5)


class Bar(Strict):
    """Something that must hold. `value` None: it was not measured."""

    what: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def holds(self) -> bool | None:
        if self.value is None:
            return None
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)


WHOLE = "pool, no savings"


def bars(report: Report) -> Iterator[Bar]:
    """All of them, measured or not."""

    def against(one: str, other: str, *shapes: Shape) -> float | None:
        return ratio(report.throughput(one, *shapes), report.throughput(other, *shapes))

    yield Bar(what="throughput, pool to bare, busy", value=against("pool", "bare", "busy"), least=0.95)
    yield Bar(what="throughput, pool to plain Celery, mix", value=against("pool", "celery"), least=3)
    yield Bar(what="throughput, pool without savings to Ray Serve, mix", value=against(WHOLE, "ray"), least=1)
    yield Bar(what="throughput, pool to Ray Serve, mix", value=against("pool", "ray"), least=1.5)
    memory = ratio(report.memory_mib("pool"), report.memory_mib("celery"))
    yield Bar(what="memory, pool to plain Celery", value=memory, most=0.5)
    quiet = ratio(report.cpu("pool", "quiet"), report.cpu("pool", "busy"))
    yield Bar(what="CPU a second of stream, quiet to busy", value=quiet, most=0.2)
    late = percentile(report.latencies("pool", 0.5), 0.95)
    yield Bar(what="p95 at 50 % load to bare alone", value=ratio(late, report.alone_s("bare")), most=2)
    changed = float(len(report.savings.changed)) if report.savings else None
    yield Bar(what="verdicts that savings change", value=changed, most=0)
    unseen = float(report.savings.planted - report.savings.flagged) if report.savings else None
    yield Bar(what="planted segments that nothing flags", value=unseen, most=0)
    each = [one.wall_s / one.segments for one in report.growth]
    spread = max(each) / min(each) if len(each) > 1 else None
    yield Bar(what="time a segment, dearest to cheapest number", value=spread, most=1.2)
    held = [one.memory_mib for one in report.growth]
    yield Bar(what="memory, last number to first", value=held[-1] / held[0] if len(held) > 1 else None, most=1.1)
    yield Bar(what="liverisk --help, s", value=report.help_s, most=0.3)


def ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None
