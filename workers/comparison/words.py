"""A comparison and an evaluation as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipelines.comparison.evaluation import Evaluation
from pipelines.comparison.quality import FALSE_ALARMS
from pipelines.comparison.report import Comparison, Cost, PolicyFigures, Side
from workers.verdicts.show import printable

CELLS_SHOWN = 12
EXEMPLARS_SHOWN = 12
"""Of all policies together; JSON and the page have more."""


def named(side: Side) -> str:
    """`e5-small-risk@0123456789ab (torch)`."""
    return f"{side.checkpoint.id}@{side.checkpoint.digest[:12]} ({side.checkpoint.session})"


def left_out(found: Comparison) -> str:
    """`12 no answer from new, 3 frames no longer in the store`; empty when nothing is."""
    return ", ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())


def comparison_lines(found: Comparison) -> Iterator[str]:
    """What the tables of the page say, the strongest first."""
    yield f"{found.slot}: {named(found.old)} (old) against {named(found.new)} (new)"
    yield f"{found.compared:,} of {found.items:,} items compared: {found.source}"
    if found.left_out:
        yield f"left out: {left_out(found)}"
    yield from _table(
        ("policy", "review at", "neither", "only old", "only new", "both", "PSI", "mean", "rank corr."),
        [_policy_row(one) for one in found.policies],
    )
    yield from _cells(found)
    yield from _judged(found)
    yield from _costs(found)
    for one in found.only_one:
        yield f"{one.policy}: only the {one.by} one speaks for it, and flags {one.flagged:,} of {one.items:,} items"
    yield from _exemplars(found)


def evaluation_lines(found: Evaluation) -> Iterator[str]:
    """The comparison, and whether the checkpoint passes."""
    yield from comparison_lines(found.comparison)
    golden = found.golden
    if golden.examples:
        as_expected = "as expected" if not golden.findings else f"{len(golden.findings)} findings"
        yield f"golden examples: {golden.examples}, {as_expected}"
    yield from (f"not judged: {line}" for line in found.unjudged)
    yield from (f"worse: {line}" for line in found.regressions)
    if found.forced is not None:
        yield f"taken all the same: {found.forced}"
    elif found.passed:
        yield f"passed: nothing is worse than {found.against.id} beyond the tolerance"


def _policy_row(one: PolicyFigures) -> tuple[str, ...]:
    flags, drift = one.flags, one.drift
    index = "-" if drift.psi is None else f"{drift.psi:.3f}" + (f" ({drift.reading})" if drift.reading else "")
    return (
        one.policy,
        f"{one.review:g}",
        *(f"{count:,}" for count in (flags.neither, flags.only_old, flags.only_new, flags.both)),
        index,
        f"{drift.mean_old:.3f} → {drift.mean_new:.3f}",
        "-" if drift.rank_correlation is None else f"{drift.rank_correlation:.2f}",
    )


def _cells(found: Comparison) -> Iterator[str]:
    apart = [cell for one in found.policies for cell in one.cells if cell.flags.differ]
    if not apart:
        return
    first = sorted(apart, key=lambda cell: -cell.flags.differ)[:CELLS_SHOWN]
    yield ""
    yield "where they disagree" + (f" (the first {CELLS_SHOWN} of {len(apart)})" if len(apart) > CELLS_SHOWN else "")
    yield from _table(
        ("policy", "language", "modality", "items", "only old", "only new", "both"),
        [
            (
                cell.policy,
                cell.language,
                cell.modality,
                *(f"{n:,}" for n in (cell.flags.items, cell.flags.only_old, cell.flags.only_new, cell.flags.both)),
            )
            for cell in first
        ],
    )


def _judged(found: Comparison) -> Iterator[str]:
    rows = []
    for one in found.policies:
        judged = one.judgement
        if judged is None:
            continue
        apart = judged.difference_interval
        old, new = judged.old, judged.new
        rows.append(
            (
                one.policy + ("" if judged.enough else " (few)"),
                f"{judged.about:,} of {judged.items:,}",
                f"{old.average_precision:.3f} → {new.average_precision:.3f}",
                f"{apart.low:+.3f} to {apart.high:+.3f}" if apart else "-",
                f"{_share(old.recall.value)} → {_share(new.recall.value)}",
                f"{_share(old.found.value)} → {_share(new.found.value)}",
                f"{_share(old.false_alarms.value)} → {_share(new.false_alarms.value)}",
                f"{old.calibration_error:.3f} → {new.calibration_error:.3f}",
            )
        )
    if rows:
        recall = f"recall at {FALSE_ALARMS:.0%}"
        yield ""
        yield "quality on judged items"
        columns = ("policy", "about it", "AP", "AP change, 95 %", recall, "found at review", "false alarms", "ECE")
        yield from _table(columns, rows)


def _costs(found: Comparison) -> Iterator[str]:
    sides = [(name, side.cost) for name, side in (("old", found.old), ("new", found.new)) if side.cost is not None]
    if sides:
        yield ""
        yield from (f"{name}: {cost_in_words(cost)}" for name, cost in sides)


def cost_in_words(cost: Cost) -> str:
    """`p50 12.1 ms, p95 15.0 ms alone; 4.2 ms of engine time an item in batches of 32; 812 MB`."""
    memory = "" if cost.memory_mb is None else f"; {cost.memory_mb:,.0f} MB"
    device = "" if cost.device_memory_mb is None else f", {cost.device_memory_mb:,.0f} MB of the device"
    return (
        f"p50 {cost.p50_ms:.1f} ms, p95 {cost.p95_ms:.1f} ms alone; {1000 * cost.seconds_per_item:.2f} ms of engine "
        f"time an item in batches of {cost.batch}{memory}{device}"
    )


def _exemplars(found: Comparison) -> Iterator[str]:
    every = sorted((one for figures in found.policies for one in figures.exemplars), key=lambda one: -one.weight)
    if every:
        yield ""
        yield "to look at first"
    for one in every[:EXEMPLARS_SHOWN]:
        text = f"  “{printable(one.text)}”" if one.text is not None else ""
        change = f"{one.old:.2f} {one.severity_old} → {one.new:.2f} {one.severity_new}"
        yield f"  {one.policy} {change}  {one.id}, {one.where}{text}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    cells = [header, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for row in cells:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
