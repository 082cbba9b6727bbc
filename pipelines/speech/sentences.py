"""Where sentences end in a stream of timed words: at their marks, and where the speaker pauses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

PAUSE_S = 0.5
MARKS = (".", "?", "!", "…", "。", "？", "！")


class Word(NamedTuple):
    """One word as it was written, spaces included, when it was said and how sure the model is of it, 0 to 1."""

    start_s: float
    end_s: float
    text: str
    probability: float = 1.0


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


def confidence(words: Sequence[Word]) -> float:
    """The geometric mean of the words' probabilities, 0 to 1: exp(mean log probability), as of a whole window."""
    logs = [math.log(max(word.probability, 1e-9)) for word in words]
    return min(1.0, math.exp(math.fsum(logs) / len(logs))) if logs else 0.0
