"""Whether a checkpoint may take the place of the active one: what got worse, by how much, and what is not known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field

from pipelines.comparison.quality import FALSE_ALARMS, Judgement
from pipelines.comparison.report import Comparison, Cost
from pipelines.items import CheckpointRef
from pipelines.strict import Strict


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How much worse is still taken: `quality` in units of the figures, `slower` and `larger` as factors."""

    quality: float = 0.02
    slower: float = 2.0
    larger: float = 2.0


class Golden(Strict):
    """The card's own examples: how many there are, and a line for each that did not come out as expected."""

    examples: int
    findings: tuple[str, ...] = ()


class Evaluation(Strict):
    """Version 1 of what `liverisk models eval --json` prints. `against` is the active checkpoint.

    `regressions` are what speaks against it, a line each; `unjudged` what could not be decided, and why. It passed when
    there are no regressions, or when somebody `forced` it and gave that reason.
    """

    schema_id: Literal["liverisk.evaluation"] = Field(default="liverisk.evaluation", alias="schema")
    version: Literal[1] = 1
    slot: str
    checkpoint: CheckpointRef
    against: CheckpointRef
    golden: Golden
    comparison: Comparison
    regressions: tuple[str, ...]
    unjudged: tuple[str, ...]
    forced: str | None = None
    passed: bool

    @classmethod
    def of(cls, comparison: Comparison, golden: Golden, tolerance: Tolerance, *, forced: str | None = None) -> Self:
        """The old side of the comparison is the active checkpoint."""
        found = tuple(regressions(comparison, golden, tolerance))
        return cls(
            schema="liverisk.evaluation",
            slot=comparison.slot,
            checkpoint=comparison.new.checkpoint,
            against=comparison.old.checkpoint,
            golden=golden,
            comparison=comparison,
            regressions=found,
            unjudged=tuple(unjudged(comparison, golden)),
            forced=forced if found else None,
            passed=not found or forced is not None,
        )


def regressions(comparison: Comparison, golden: Golden, tolerance: Tolerance) -> Iterator[str]:
    """A line for each figure that is worse by more than the tolerance; one, too, where nothing at all was judged."""
    judged = any(one.judgement is not None and one.judgement.enough for one in comparison.policies)
    if not judged and not golden.examples:
        yield "nothing was judged: there are no golden examples, and too few judged items of every policy"
    yield from (f"golden example: {line}" for line in golden.findings)
    yield from (
        f"{one.policy}: the active checkpoint speaks for it, this one does not"
        for one in comparison.only_one
        if one.by == "old"
    )
    more = sum(comparison.new.failed.values()) - sum(comparison.old.failed.values())
    if more > 0:
        yield f"{more} more items could not be scored ({', '.join(comparison.new.failed)})"
    for figures in comparison.policies:
        if figures.judgement is not None and figures.judgement.enough:
            yield from _worse(figures.judgement, tolerance.quality)
    if comparison.old.cost and comparison.new.cost:
        yield from _dearer(comparison.old.cost, comparison.new.cost, tolerance)


def unjudged(comparison: Comparison, golden: Golden) -> Iterator[str]:
    """What this evaluation says nothing of."""
    if not golden.examples:
        yield "no golden examples lie beside the card"
    thin = [one.policy for one in comparison.policies if one.judgement is not None and not one.judgement.enough]
    if thin:
        yield f"too few judged items to decide by: {', '.join(thin)}"
    blank = [one.policy for one in comparison.policies if one.judgement is None]
    if blank:
        yield f"no judged items tell apart: {', '.join(blank)}"
    if comparison.left_out:
        reasons = ", ".join(f"{count} {reason}" for reason, count in comparison.left_out.items())
        yield f"items left out: {reasons}"


def _worse(one: Judgement, tolerance: float) -> Iterator[str]:
    if -one.difference > tolerance:
        apart = one.difference_interval
        sure = f", 95 % {apart.low:+.3f} to {apart.high:+.3f}" if apart else ""
        yield (
            f"{one.policy}: average precision {one.old.average_precision:.3f} → {one.new.average_precision:.3f}"
            f" ({one.difference:+.3f}{sure}; {one.about:,} of {one.items:,} items)"
        )
    recall = _drop(one.old.recall.value, one.new.recall.value)
    if recall > tolerance:
        yield (
            f"{one.policy}: recall at {FALSE_ALARMS:.0%} false alarms {one.old.recall.value:.3f} → "
            f"{one.new.recall.value:.3f} ({one.about:,} items about it)"
        )
    if one.new.calibration_error - one.old.calibration_error > tolerance:
        yield (
            f"{one.policy}: calibration error {one.old.calibration_error:.3f} → {one.new.calibration_error:.3f}"
            f" ({one.items:,} items)"
        )


def _drop(old: float | None, new: float | None) -> float:
    return 0.0 if old is None or new is None else old - new


def _dearer(old: Cost, new: Cost, tolerance: Tolerance) -> Iterator[str]:
    measured: Sequence[tuple[str, float, float, str]] = (
        ("median latency of one item", old.p50_ms, new.p50_ms, "ms"),
        ("engine time of one item in full batches", 1000 * old.seconds_per_item, 1000 * new.seconds_per_item, "ms"),
    )
    for what, before, after, unit in measured:
        if after > tolerance.slower * before:
            yield f"{what} {before:.1f} → {after:.1f} {unit}, more than {tolerance.slower:g} times"
    held = (
        ("memory", old.memory_mb, new.memory_mb),
        ("memory of the device", old.device_memory_mb, new.device_memory_mb),
    )
    for what, had, has in held:
        if had and has and has > tolerance.larger * had:
            yield f"{what} {had:.0f} → {has:.0f} MB, more than {tolerance.larger:g} times"
