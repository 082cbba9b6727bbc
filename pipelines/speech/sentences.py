"""Where sentences end in a stream of timed words: at their marks, and where the speaker pauses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

PAUSE_S = 0.5
MARKS = (".", "?", "!", "…", "。", "？", "！")


class Word(NamedTuple):
    """One word as it was written, spaces included, and when it was said."""

    start_s: float
    end_s: float
    text: str


def sentences(words: Iterable[Word]) -> Iterator[Sequence[Word]]:
    """The words in groups, in order, none left out."""
    group: list[Word] = []
    for word in words:
        if group and (word.start_s - group[-1].end_s >= PAUSE_S or group[-1].text.rstrip().endswith(MARKS)):
            yield group
            group = []
        group.append(word)
    if group:
        yield group
