"""Which of a deep review's texts live had read already, which it read otherwise, and which it missed.

Transcripts of two passes break at different places and screens are read line by line, so a text is held against
everything that live read in the same way at about the same time, word by word; Chinese, Japanese and Korean by
character.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import SequenceMatcher
from functools import cached_property
from typing import Literal

from pipelines.record import TextSource

Reading = Literal["same", "changed", "new"]

NEAR = timedelta(seconds=12)
"""How far apart in time two readings of one text start, at most: a segment, and a little for cuts."""
SAME, CHANGED = 0.85, 0.5
"""Share of a text's words that live had read in this order: from here on it is the same, or was read otherwise."""
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_]+")


@dataclass(frozen=True)
class Heard:
    """One text of one pass; `probabilities` is policy -> what it says for that policy."""

    at: datetime
    source: TextSource
    text: str
    normalised: str
    probabilities: Mapping[str, float]

    @cached_property
    def words(self) -> tuple[str, ...]:
        return tuple(_WORD.findall(self.normalised.casefold()))


@dataclass(frozen=True, slots=True)
class Match:
    """How live read a text; `live` is the text of its that is most alike, unless there is none."""

    reading: Reading
    live: Heard | None = None


class Earlier:
    """Everything one pass read, by source and time."""

    def __init__(self, texts: Sequence[Heard]) -> None:
        self._texts: dict[TextSource, list[Heard]] = defaultdict(list)
        for text in sorted(texts, key=lambda text: text.at):
            self._texts[text.source].append(text)

    def match(self, text: Heard) -> Match:
        """What this pass made of another pass's text."""
        near = self._near(text)
        exact = next((one for one in near if one.normalised == text.normalised), None)
        if exact is not None:
            return Match("same", exact)
        words = text.words
        if not near or not words:
            return Match("new" if words else "same")
        share = _share(words, tuple(word for one in near for word in one.words))
        if share < CHANGED:
            return Match("new")
        alike = max(near, key=lambda one: _share(words, one.words))
        return Match("same" if share >= SAME else "changed", alike)

    def _near(self, text: Heard) -> Sequence[Heard]:
        texts = self._texts[text.source]
        first = bisect_left(texts, text.at - NEAR, key=lambda one: one.at)
        return texts[first : bisect_right(texts, text.at + NEAR, key=lambda one: one.at)]


def _share(words: Sequence[str], among: Sequence[str]) -> float:
    """The share of `words` that stand in the same order in `among`; 0 where it cannot reach `CHANGED`."""
    if (Counter(words) & Counter(among)).total() < CHANGED * len(words):
        return 0.0
    blocks = SequenceMatcher(None, words, among, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks) / len(words)
