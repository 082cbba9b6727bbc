"""The report in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from workers.bench.report import Burst, Report, bars, median, percentile, ratio

PERCENTILES = (0.5, 0.95, 0.99)


def tables(report: Report) -> Iterator[str]:
    """Lines; a part that was not measured is left out, but the bars are all there."""
    machine = report.machine
    yield f"{report.made_at}, {machine.cores} cores ({machine.processor}), Python {machine.python}"
    yield f"    {report.command}"
    for part in (
        _compared(report),
        _parts(report),
        _latency(report),
        _stages(report),
        _growth(report),
        _savings(report),
        _bars(report),
    ):
        lines = list(part)
        if lines:
            yield ""
            yield from lines


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(header)} |"
    yield "|" + "---|" * len(header)
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _compared(report: Report) -> Iterator[str]:
    if not report.measured:
        return
    shapes = report.shapes
    header = [
        "",
        *(f"{shape}: stream s/s" for shape in shapes),
        "mix",
        *(f"{shape}: CPU s/stream s" for shape in shapes),
    ]
    yield from table([*header, "memory MiB", "ready s", "first result s", "to bare, mix"], _contenders(report))
    for shape in shapes:
        for name in report.contenders:
            each = [one.bursts[shape] for one in report.of(name) if shape in one.bursts]
            if len(each) > 1:
                blocks = ", ".join(f"{burst.segments * 10 / burst.wall_s:.2f}" for burst in each)
                yield f"{name}, {shape}, by block: {blocks}"


def _contenders(report: Report) -> Iterator[Sequence[str]]:
    for name in report.contenders:
        yield [
            name,
            *(_number(report.throughput(name, shape)) for shape in report.shapes),
            _number(report.throughput(name)),
            *(_number(report.cpu(name, shape), 3) for shape in report.shapes),
            _number(report.memory_mib(name), 0),
            _number(median(one.ready_s for one in report.of(name)), 1),
            _number(median(one.first_s for one in report.of(name)), 1),
            _number(ratio(report.throughput(name), report.throughput("bare"))),
        ]


def _parts(report: Report) -> Iterator[str]:
    """Who spends the time and holds the memory, for contenders of several parts."""
    header = ["part", "memory MiB", *(f"{shape}: CPU ms/segment" for shape in report.shapes)]
    rows = []
    for name in report.contenders:
        parts = dict.fromkeys(part for one in report.of(name) for part in one.part_memory_mib)
        for part in parts if len(parts) > 1 else ():
            held = median(one.part_memory_mib[part] for one in report.of(name))
            spent = [_part_ms(report.bursts(name, [shape]), part) for shape in report.shapes]
            rows.append([f"{name}: {part}", _number(held, 0), *(_number(ms, 0) for ms in spent)])
    if rows:
        yield from table(header, rows)


def _part_ms(bursts: Sequence[Burst], part: str) -> float | None:
    segments = sum(burst.segments for burst in bursts)
    return 1000 * sum(burst.part_cpu_s.get(part, 0.0) for burst in bursts) / segments if segments else None


def _latency(report: Report) -> Iterator[str]:
    shares = sorted({load.share for one in report.measured for load in one.loads})
    if not shares and not any(one.alone_s for one in report.measured):
        return
    header = ["busy segments, s", "alone", *(f"{share:.0%}: p{p * 100:.0f}" for share in shares for p in PERCENTILES)]
    rows = (
        [
            name,
            _number(report.alone_s(name)),
            *(_number(percentile(report.latencies(name, share), p)) for share in shares for p in PERCENTILES),
        ]
        for name in report.contenders
    )
    yield from table(header, rows)


def _stages(report: Report) -> Iterator[str]:
    if report.stages:
        rows = (
            [one.model, one.way, one.unit, _number(median(one.per_s)), _number(median(one.cpu_s), 4)]
            for one in report.stages
        )
        yield from table(["model", "run by", "unit", "a second", "CPU s each"], rows)


def _growth(report: Report) -> Iterator[str]:
    if report.growth:
        rows = (
            [
                f"{one.segments:,}",
                f"{one.wall_s:.1f}",
                f"{1000 * one.wall_s / one.segments:.1f}",
                f"{one.memory_mib:.0f}",
            ]
            for one in report.growth
        )
        yield from table(["segments", "wall s", "ms each", "memory MiB"], rows)


def _savings(report: Report) -> Iterator[str]:
    if (seen := report.savings) is not None:
        yield (
            f"savings: {seen.segments} segments in {seen.wall_s:.1f} s, without any {seen.wall_without_s:.1f} s; "
            f"{seen.flagged} of {seen.planted} planted ones flagged; {len(seen.changed)} verdicts differ"
        )
        yield from (f"  {line}" for line in seen.changed)


def _bars(report: Report) -> Iterator[str]:
    rows = []
    for bar in bars(report):
        limit = f"at least {bar.least:g}" if bar.least is not None else f"at most {bar.most:g}"
        verdict = {None: "not measured", True: "PASS", False: "FAIL"}[bar.holds]
        rows.append([bar.what, _number(bar.value), limit, verdict])
    yield from table(["", "measured", "bar", ""], rows)


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
