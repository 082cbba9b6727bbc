"""What stays on the screen over several frames, told from what is new: still banners, however read, and tickers.

A ticker shows another part of its sentence on every frame. The parts are put together, so that the sentence is
examined once and whole instead of in stumps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from pipelines.items import ScreenLine
from pipelines.text.normalise import normalise

SAME_PLACE = 0.03
"""Of the frame's sides: as far as the box of a still text moves between readings."""
SAME_HEIGHT = 0.02
"""Of the frame's height: as far as a ticker's upper and lower edge move."""
CHARACTERS_AN_ERROR = 8
"""The reader may take one character in so many for another before it is another text."""
MEMORY = 3
"""Frames. What was not seen on so many is not followed any more; the same text is still the same text."""
CUT = 2
"""Characters that the edge of the screen may have spoilt at either end of a part of a ticker."""
OVERLAP_IDEOGRAMS, OVERLAP_LETTERS = 4, 8
"""Two parts of a ticker have at least so many characters in common."""
LONGEST = 80
"""Characters of a ticker that are put together. A longer one goes on as another text, as risk thins out in length."""

_IDEOGRAM = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


@dataclass(frozen=True, slots=True)
class Sighting:
    """One line on one frame; `frame` is its index, `at_s` its time."""

    frame: int
    at_s: float
    line: ScreenLine


@dataclass(slots=True)
class Banner:
    """One text and where it was seen, in order; `text` is what its parts make, None while every one shows it whole."""

    seen: list[Sighting]
    text: str | None = None
    parts: list[Sighting] = field(default_factory=list)

    @property
    def best(self) -> Sighting:
        """The reading that the recogniser was surest of."""
        return max(self.seen, key=lambda sighting: sighting.line.confidence)

    @property
    def words(self) -> str:
        return self.best.line.text if self.text is None else self.text

    @property
    def confidence(self) -> float:
        """Of the best reading; of a ticker the mean over the parts it was put together from."""
        if self.text is None:
            return self.best.line.confidence
        return sum(part.line.confidence for part in self.parts) / len(self.parts)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Of the best reading; of a ticker the place that all its parts passed through."""
        if self.text is None:
            return self.best.line.box
        lefts, tops, rights, bottoms = zip(*(sighting.line.box for sighting in self.seen), strict=True)
        return min(lefts), min(tops), max(rights), max(bottoms)


def banners_of(sightings: Iterable[Sighting]) -> tuple[Banner, ...]:
    """The texts in order of first appearance; `sightings` come in order of their frames."""
    banners: list[Banner] = []
    known: dict[str, Banner] = {}
    recent: dict[int, list[Banner]] = defaultdict(list)
    for sighting in sightings:
        key = normalise(sighting.line.text).text
        banner = known.get(key) or _followed(sighting, recent)
        if banner is None:
            banner = Banner([])
            banners.append(banner)
            recent[_band(sighting)].append(banner)
        banner.seen.append(sighting)
        known[key] = banner
    return tuple(banners)


def _band(sighting: Sighting) -> int:
    """Number of the strip of the screen that the middle of the line lies in; the neighbours count as near."""
    _, top, _, bottom = sighting.line.box
    return int((top + bottom) / 2 / SAME_PLACE)


def _followed(sighting: Sighting, recent: dict[int, list[Banner]]) -> Banner | None:
    """The banner that this is another reading or another part of."""
    for banner in _near(sighting, recent):
        if _reads_alike(banner.seen[-1].line, sighting.line):
            return banner
    for banner in _near(sighting, recent):
        if (longer := _continued(banner, sighting.line)) is not None:
            banner.parts = [*(banner.parts or banner.seen[-1:]), sighting]
            banner.text = longer
            return banner
    return None


def _near(sighting: Sighting, recent: dict[int, list[Banner]]) -> Iterator[Banner]:
    """Banners of earlier frames near the line's height; those long out of sight are forgotten on the way."""
    band = _band(sighting)
    for place in (band, band - 1, band + 1):
        if place in recent:
            recent[place] = [b for b in recent[place] if sighting.frame - b.seen[-1].frame <= MEMORY]
            yield from [b for b in recent[place] if b.seen[-1].frame < sighting.frame]


def _reads_alike(one: ScreenLine, other: ScreenLine) -> bool:
    """Whether both stand in one place and differ as two readings of one text do."""
    if any(abs(a - b) > SAME_PLACE for a, b in zip(one.box, other.box, strict=True)):
        return False
    allowed = max(len(one.text), len(other.text)) // CHARACTERS_AN_ERROR
    if not allowed or abs(len(one.text) - len(other.text)) > allowed:
        return False
    return _edits(one.text, other.text) <= allowed


def _edits(one: str, other: str) -> int:
    """Characters to change, add or drop, as difflib aligns the two: at least the edit distance."""
    steps = SequenceMatcher(None, one, other, autojunk=False).get_opcodes()
    return sum(max(b - a, d - c) for tag, a, b, c, d in steps if tag != "equal")


def _continued(banner: Banner, line: ScreenLine) -> str | None:
    """What the ticker and a further part of it make together; None when the line is no part of it.

    The common stretch must have moved: a caption that changes its end stays where it is.
    """
    last = banner.seen[-1].line
    if any(abs(last.box[side] - line.box[side]) > SAME_HEIGHT for side in (1, 3)):
        return None
    at, of_line, size = _common(last.text, line.text)
    moved = _x(line, of_line) - _x(last, at)
    if not size or abs(moved) <= SAME_PLACE:
        return None
    whole = banner.words
    at, of_line, size = _common(whole, line.text)
    if not size:
        return None
    left, right = (whole, at, line.text, of_line), (line.text, of_line, whole, at)
    longer = _appended(*(left if moved < 0 else right), size)
    if longer is not None and len(longer) > len(whole):
        return longer if len(longer) <= LONGEST else None
    contained = size >= min(len(whole), len(line.text)) - CUT
    return max(whole, line.text, key=len) if contained or longer is not None else None


def _common(one: str, other: str) -> tuple[int, int, int]:
    """Where the longest common stretch begins in each, and its length; 0 when it is too short to tell anything."""
    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    stretch = one[match.a : match.a + match.size]
    enough = OVERLAP_IDEOGRAMS if _IDEOGRAM.search(stretch) else OVERLAP_LETTERS
    return match.a, match.b, match.size if match.size >= enough else 0


def _appended(first: str, at: int, second: str, of_second: int, size: int) -> str | None:
    """`second` after `first` over their common stretch; None when more than a spoilt edge contradicts it."""
    if len(first) - at - size > CUT or of_second > CUT:
        return None
    return first[: at + size] + second[of_second + size :]


def _x(line: ScreenLine, character: int) -> float:
    """About where a character of the line stands, as a fraction of the frame's width."""
    left, _, right, _ = line.box
    return left + (right - left) * character / max(1, len(line.text))
