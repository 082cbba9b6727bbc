"""Text that runs from top to bottom.

The recogniser reads a column of upright characters as well as a line that lies on its side, when it is turned as
PaddleOCR turns it: a quarter to the left. What is left to do is the line that runs upwards, which is then upside
down, and the column that the detector found in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from pipelines.items import ScreenLine

Corners = NDArray[np.float32]
"""4 x (x, y), in pixels; clockwise."""

TALL = 1.5
"""Times its width: from there on a box is turned before it is read."""
SURE = 0.9
"""Columns of a lower confidence are read upside down, too. The right way up drawn ones had 0.98 or more, upside
down 0.93 or less, and 0.77 or less when more than numbers and symmetric letters stood in them."""
APART, ASIDE = 1.0, 0.35
"""Times the width: how far pieces of a column stand apart, and how far their middles lie beside one another."""


def from_top_left(corners: Corners) -> Corners:
    """The corners from the upper left one on: the detector begins a leaning column at another."""
    return np.roll(corners, -int(np.argmin(corners.sum(axis=1))), axis=0)


def is_tall(corners: Corners) -> bool:
    width, height = _sides(corners)
    return height >= TALL * width


def _sides(corners: Corners) -> tuple[float, float]:
    """Width and height."""
    return float(np.linalg.norm(corners[0] - corners[1])), float(np.linalg.norm(corners[0] - corners[3]))


@dataclass(frozen=True, slots=True)
class Reading:
    """What the recogniser made of one crop. `upwards`: the line runs from the bottom to the top."""

    text: str
    confidence: float
    upwards: bool = False


def pieced(
    lines: Sequence[ScreenLine], readings: Sequence[Reading], found: Sequence[Corners]
) -> tuple[ScreenLine, ...]:
    """The lines, with single characters and columns that stand on one another put together in the uppermost's place.

    A character wide of space around it is found by itself, and one character says nothing to a text model. What
    runs upwards goes on above.
    """
    pieces = [index for index, line in enumerate(lines) if line.text and _is_piece(line, found[index])]
    columns: list[list[int]] = []
    for index in sorted(pieces, key=lambda i: float(found[i][:, 1].min())):
        alike = (column for column in columns if readings[column[-1]].upwards == readings[index].upwards)
        above = next((column for column in alike if _stands_on(found[column[-1]], found[index])), None)
        if above is None:
            columns.append([index])
        else:
            above.append(index)
    together = {
        column[0]: _together([lines[i] for i in (reversed(column) if readings[column[0]].upwards else column)])
        for column in columns
    }
    inner = {i for column in columns for i in column[1:]}
    return tuple(together.get(index, line) for index, line in enumerate(lines) if index not in inner)


def _is_piece(line: ScreenLine, corners: Corners) -> bool:
    width, height = _sides(corners)
    return is_tall(corners) or (len(line.text) == 1 and width < TALL * height)


def _stands_on(upper: Corners, lower: Corners) -> bool:
    """Whether the lower box continues the upper one's column. Boxes are found a little larger than what is written."""
    (left, top), (right, bottom) = upper.min(axis=0), upper.max(axis=0)
    (lower_left, lower_top), (lower_right, _) = lower.min(axis=0), lower.max(axis=0)
    width = max(right - left, lower_right - lower_left)
    aside = abs((left + right) - (lower_left + lower_right)) / 2
    return bool(aside <= ASIDE * width and (top + bottom) / 2 < lower_top <= bottom + APART * width)


def _together(column: Sequence[ScreenLine]) -> ScreenLine:
    if len(column) == 1:
        return column[0]
    lefts, tops, rights, bottoms = zip(*(line.box for line in column), strict=True)
    return ScreenLine(
        text=column[0].text + "".join(_space(one.text, other.text) + other.text for one, other in pairwise(column)),
        confidence=fmean(line.confidence for line in column),
        box=(min(lefts), min(tops), max(rights), max(bottoms)),
    )


def _space(before: str, after: str) -> str:
    """A space between Latin words; none within a column of single letters."""
    words = len(before) > 1 and len(after) > 1 and (before[-1] + after[0]).isascii()
    return " " if words else ""
