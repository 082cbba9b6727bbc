"""Text whose every character knows where it came from.

The view in which text is matched differs from what was written; a reader of a match wants to see what was
typed and which steps lie between the two. `aligned` runs the steps of `normalise` and keeps the way back;
`pipelines.text.unmask` goes on from there.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.text import normalise as steps

STEPS = (
    "invisible",
    "compatibility",
    "case",
    "simplified",
    "runs",
    "space",
    "code",
    "spacing",
    "confusable",
    "leet",
    "repeat",
    "split",
)
"""Every step between what was written and the last view of it, in the order they run."""

Edit = tuple[int, int, str]
"""From `start` to `end` of a view stands something else instead; nothing, where the string is empty."""

_UNMARKED = 0
_PLACES = tuple(range(1024))
_SELECTORS = "\ufe0e\ufe0f"
_FIRST_JOINING_JAMO, _LAST_JOINING_JAMO = "\u1160", "\u11ff"


@dataclass(frozen=True, slots=True)
class Aligned:
    """A view of a text. Character `i` stands for the original's stretch `starts[i]:ends[i]`; both never fall.

    `marks[i]` are the steps that made the character, `seams[i]` those that took something out between it and
    the one before it: sets of bits, a bit for each of `STEPS`.
    """

    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    marks: tuple[int, ...]
    seams: tuple[int, ...]

    def chain(self, start: int, end: int) -> tuple[str, ...]:
        """The steps that touched this stretch of the view, in the order they ran."""
        touched = 0
        for bits in (*self.marks[start:end], *self.seams[start + 1 : end]):
            touched |= bits
        return tuple(name for place, name in enumerate(STEPS) if touched >> place & 1) if touched else ()

    def surface(self, start: int, end: int) -> tuple[int, int]:
        """Where this stretch of the view, of at least one character, stands in the original."""
        if not 0 <= start < end <= len(self.text):
            raise ValueError(f"{start}:{end} is no stretch of {len(self.text)} characters")
        return self.starts[start], self.ends[end - 1]

    def respelt(self, step: str, text: str) -> Aligned:
        """The view after a step that replaced characters one by one."""
        bit = _bit(step)
        pairs = zip(self.text, text, self.marks, strict=True)
        marks = tuple([bits | bit if old != new else bits for old, new, bits in pairs])
        return Aligned(text, self.starts, self.ends, marks, self.seams)

    def edited(self, step: str, edits: Iterable[Edit]) -> Aligned:
        """The view after a step that made these edits, which are in order and do not overlap."""
        return _edited(self, _bit(step), edits)


def aligned(text: str) -> Aligned:
    """The normalised text, character for character; its text is that of `normalise`."""
    length = len(text)
    places = _PLACES if length < len(_PLACES) else tuple(range(length + 1))
    untouched = (_UNMARKED,) * length
    view = Aligned(text, places[:length], places[1 : length + 1], untouched, untouched)
    for name, step in steps.STEPS:
        changed = step(view.text)
        if changed != view.text:
            view = _ALIGNED[name](view, changed)
    return view


@functools.cache
def _bit(step: str) -> int:
    return 1 << STEPS.index(step)


def _edited(view: Aligned, bit: int, edits: Iterable[Edit]) -> Aligned:
    rewriting = _Rewriting(view)
    for start, end, instead in edits:
        rewriting.keep(start)
        rewriting.replace(end, instead, bit)
    rewriting.keep(len(view.text))
    return rewriting.result()


class _Rewriting:
    """A view read from left to right, while the next one is put together."""

    def __init__(self, view: Aligned) -> None:
        self._view = view
        self._at = 0
        self._taken_out = _UNMARKED
        self._text: list[str] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._marks: list[int] = []
        self._seams: list[int] = []

    def keep(self, end: int) -> None:
        """What stands before `end` stays as it is."""
        view, at = self._view, self._at
        if at == end:
            return
        self._text.append(view.text[at:end])
        self._starts.extend(view.starts[at:end])
        self._ends.extend(view.ends[at:end])
        self._marks.extend(view.marks[at:end])
        self._seams.append(view.seams[at] | self._taken_out)
        self._seams.extend(view.seams[at + 1 : end])
        self._at, self._taken_out = end, _UNMARKED

    def replace(self, end: int, instead: str, bit: int) -> None:
        """What stands before `end` is replaced, which every new character says of itself."""
        view, at = self._view, self._at
        touched = _union(view.marks[at:end]) | _union(view.seams[at + 1 : end]) | bit
        before = view.seams[at] | self._taken_out
        self._at = end
        if not instead:
            self._taken_out = before | touched
            return
        self._text.append(instead)
        self._starts.extend([view.starts[at]] * len(instead))
        self._ends.extend([view.ends[end - 1]] * len(instead))
        self._marks.extend([touched] * len(instead))
        self._seams.extend([before, *[_UNMARKED] * (len(instead) - 1)])
        self._taken_out = _UNMARKED

    def result(self) -> Aligned:
        marks, seams = tuple(self._marks), tuple(self._seams)
        return Aligned("".join(self._text), tuple(self._starts), tuple(self._ends), marks, seams)


def _union(bits: Sequence[int]) -> int:
    result = 0
    for some in bits:
        result |= some
    return result


def _visible(view: Aligned, _: str) -> Aligned:
    """A selector that makes a symbol an emoji belongs to the symbol and disguises nothing."""
    text = view.text
    presented = [
        (place - 1, place + 1, text[place - 1])
        for place in range(1, len(text))
        if text[place] in _SELECTORS and unicodedata.category(text[place - 1]) in ("So", "Sm", "Po", "Nd")
    ]
    view = _edited(view, _UNMARKED, presented)
    hidden = [
        (place, place + 1, "")
        for place, character in enumerate(view.text)
        if not character.isspace() and steps.is_invisible(character)
    ]
    return view.edited("invisible", hidden)


def _compatible(view: Aligned, changed: str) -> Aligned:
    return _composed(view, changed, "compatibility")


def _folded(view: Aligned, changed: str) -> Aligned:
    folded = view.text.casefold()
    if len(folded) == len(view.text):
        view = view.respelt("case", folded)
    else:
        letters = ((place, place + 1, letter.casefold()) for place, letter in enumerate(view.text))
        view = view.edited("case", [edit for edit in letters if edit[2] != view.text[edit[0]]])
    return view if folded == changed else _composed(view, changed, "case")


def _composed(view: Aligned, composed: str, step: str) -> Aligned:
    """The view after NFKC, which works within clusters of a base and what joins it."""
    edits: list[Edit] = []
    for start, end in _clusters(view.text):
        cluster = view.text[start:end]
        written = steps.compose(cluster)
        if written != cluster:
            edits.append((start, end, written))
    result = view.edited(step, edits)
    return result if result.text == composed else view.edited(step, [(0, len(view.text), composed)])


def _clusters(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for place in range(1, len(text)):
        if not text[place].isascii() and _joins(text[place]):
            continue
        yield start, place
        start = place
    yield start, len(text)


@functools.lru_cache(maxsize=8192)
def _joins(character: str) -> bool:
    """Whether it may become one with what stands before it: marks, and Hangul vowels and finals."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or _FIRST_JOINING_JAMO <= first <= _LAST_JOINING_JAMO


def _simplified(view: Aligned, changed: str) -> Aligned:
    if len(changed) != len(view.text):
        return view.edited("simplified", [(0, len(view.text), changed)])
    return view.respelt("simplified", changed)


def _shortened(view: Aligned, _: str) -> Aligned:
    """The last of a run that stays stands for those that go."""
    runs = steps.RUN.finditer(view.text)
    return view.edited("runs", [(run.start() + steps.LONGEST_RUN - 1, run.end(), run[1]) for run in runs])


def _spaced(view: Aligned, _: str) -> Aligned:
    text = view.text
    edits: list[Edit] = []
    for gap in steps.SPACES.finditer(text):
        start, end = gap.span()
        instead = " " if start > 0 and end < len(text) else ""
        if instead != gap[0]:
            edits.append((start, end, instead))
    return view.edited("space", edits)


_ALIGNED: dict[str, Callable[[Aligned, str], Aligned]] = {
    "invisible": _visible,
    "compatibility": _compatible,
    "case": _folded,
    "simplified": _simplified,
    "runs": _shortened,
    "space": _spaced,
}
