"""The second view of a text: disguises undone, whatever they hide.

It knows no terms. Every step undoes one way of writing around a filter where ordinary text does not write so, and
leaves alone what might mean what it says; `normalise` and its chain stay the first view. Worker children call
this on every line, so each step begins with a look whether there is anything for it to do.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from pipelines.text.aligned import Aligned, Edit, aligned
from pipelines.text.leet import figures
from pipelines.text.lookalikes import lookalikes, symbols
from pipelines.text.repetition import repetitions
from pipelines.text.spacing import separators
from pipelines.text.split_characters import halves

UNMASKING: tuple[tuple[str, Callable[[Aligned], list[Edit]]], ...] = (
    ("code", symbols),
    ("spacing", separators),
    ("confusable", lookalikes),
    ("leet", figures),
    ("repeat", repetitions),
    ("split", halves),
)
"""In this order: what was spaced out may hold figures, and `ѕ c 4 m` all three."""

_TOP_LEVELS = (
    "com|net|org|cn|io|tv|gg|me|cc|xyz|top|vip|shop|site|online|info|app|dev|link|live|club|icu|ru|uk|de|fr|es|jp|kr|tw"
    "|hk|in|br|mx|co|ai|ly"
)
_ADDRESS = re.compile(
    r"(?:https?://|(?<![a-z\d])www\.)[^\s\u3000-\u9fff]+"
    r"|(?<![\w.+-])[a-z\d._+-]+@[a-z\d-]+(?:\.[a-z\d-]+)+"
    rf"|(?<![a-z\d.-])(?:[a-z\d-]+\.)+(?:{_TOP_LEVELS})(?![a-z\d])(?:/[^\s\u3000-\u9fff]*)?"
)
"""What lies inside a web or mail address is written as it has to be."""


def unmask(text: str) -> Aligned:
    """The normalised text with its disguises undone, and the way back to what was written."""
    return unmask_aligned(aligned(text))


def unmask_aligned(view: Aligned) -> Aligned:
    """The same, for whoever has the normalised text already."""
    for step, find in UNMASKING:
        edits = find(view)
        if edits and "." in view.text:
            edits = _outside_addresses(view.text, edits)
        if edits:
            view = view.edited(step, edits)
    return view


def _outside_addresses(text: str, edits: list[Edit]) -> list[Edit]:
    addresses = [match.span() for match in _ADDRESS.finditer(text)]
    return [edit for edit in edits if not any(start < edit[1] and edit[0] < end for start, end in addresses)]
