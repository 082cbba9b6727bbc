"""A comparison or an evaluation as one self-contained page: what is drawn, and where; the tables have the numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.comparison.evaluation import Evaluation
from pipelines.comparison.quality import FALSE_ALARMS
from pipelines.comparison.rates import Bin
from pipelines.comparison.report import Comparison, PolicyFigures
from workers.comparison.words import left_out, named
from workers.runs.pages import render

BAR_WIDTH = 320.0
"""Of the longest bar of disagreement, in the drawing's own units."""
PLOT = 100.0
"""Height of a histogram, and both sides of a reliability plot."""
HISTOGRAM_WIDTH = 240.0
CELLS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a bar."""

    kind: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """One bin of a histogram: `old` and `new` are heights."""

    x: float
    width: float
    old: float
    new: float
    words: str


@dataclass(frozen=True, slots=True)
class Point:
    """One bin of a reliability plot. `radius` grows with the items in it."""

    x: float
    y: float
    radius: float
    words: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """One policy with its drawings; `reliability` is empty where nothing was judged."""

    figures: PolicyFigures
    pieces: tuple[Piece, ...]
    histogram: tuple[Column, ...]
    review_x: float
    reliability: tuple[tuple[str, tuple[Point, ...]], ...]


def comparison_page(found: Comparison) -> str:
    """The whole page."""
    return _page(found, None)


def evaluation_page(found: Evaluation) -> str:
    """The comparison's page, with what speaks against the checkpoint before it."""
    return _page(found.comparison, found)


def pieces(figures: PolicyFigures, most: int) -> tuple[Piece, ...]:
    """Only old, both and only new, one after another; `most` items are as long as the drawing."""
    drawn, x = [], 0.0
    for kind, count in (
        ("only-old", figures.flags.only_old),
        ("both", figures.flags.both),
        ("only-new", figures.flags.only_new),
    ):
        width = BAR_WIDTH * count / max(most, 1)
        drawn.append(Piece(kind, round(x, 2), round(width, 2)))
        x += width
    return tuple(drawn)


def histogram(old: Sequence[int], new: Sequence[int]) -> tuple[Column, ...]:
    """Heights by the logarithm of the counts: nearly all items lie near zero, and the few above are the point."""
    most = math.log1p(max((*old, *new), default=0)) or 1.0
    width = HISTOGRAM_WIDTH / max(len(old), 1)
    return tuple(
        Column(
            x=round(at * width, 2),
            width=round(width, 2),
            old=round(PLOT * math.log1p(before) / most, 2),
            new=round(PLOT * math.log1p(after) / most, 2),
            words=f"{at / len(old):.2f} to {(at + 1) / len(old):.2f}: old {before:,}, new {after:,}",
        )
        for at, (before, after) in enumerate(zip(old, new, strict=True))
    )


def points(bins: Sequence[Bin]) -> tuple[Point, ...]:
    """What was said to the right, how often it was so upwards."""
    return tuple(
        Point(
            x=round(PLOT * one.said, 2),
            y=round(PLOT * (1 - one.seen), 2),
            radius=round(1.5 + math.log10(one.items), 2),
            words=f"said {one.said:.2f}, seen {one.seen:.2f}, {one.items:,} items",
        )
        for one in bins
    )


def _page(found: Comparison, evaluation: Evaluation | None) -> str:
    most = max((one.flags.differ + one.flags.both for one in found.policies), default=0)
    cells = [cell for one in found.policies for cell in one.cells]
    return render(
        "compare.html",
        found=found,
        evaluation=evaluation,
        old=named(found.old),
        new=named(found.new),
        left_out=left_out(found),
        flags=found.flags,
        drawn=[_drawn(one, most) for one in found.policies],
        judged=[one for one in found.policies if one.judgement is not None],
        cells=sorted(cells, key=lambda cell: (-cell.flags.differ, -cell.flags.items))[:CELLS_SHOWN],
        cells_elsewhere=max(0, len(cells) - CELLS_SHOWN),
        titles={one.policy: one.title for one in found.policies},
        examples=[one for one in found.policies if one.exemplars],
        bar_width=BAR_WIDTH,
        plot=PLOT,
        histogram_width=HISTOGRAM_WIDTH,
        false_alarms=f"{FALSE_ALARMS:.0%}",
        with_text=any(one.text is not None for figures in found.policies for one in figures.exemplars),
    )


def _drawn(figures: PolicyFigures, most: int) -> Drawn:
    judged = figures.judgement
    sides = (("old", judged.old.reliability), ("new", judged.new.reliability)) if judged is not None else ()
    return Drawn(
        figures=figures,
        pieces=pieces(figures, most),
        histogram=histogram(figures.drift.histogram_old, figures.drift.histogram_new),
        review_x=round(HISTOGRAM_WIDTH * figures.review, 2),
        reliability=tuple((name, points(bins)) for name, bins in sides),
    )
