"""Separators inside words: `k.y.s`, `f r e e`, `加*微*信`, `加 微 信`.

People also put single letters and characters side by side without hiding anything, so letters are joined from
three on, and not when they count (`a b c d`) or are keys of a game (`q w e r`). Between Chinese characters a
space is only an obstacle where single characters stand apart one after another.
"""

from __future__ import annotations

import re
from itertools import pairwise

from pipelines.text.aligned import Aligned, Edit
from pipelines.text.lookalikes import HAN, LATIN

FEWEST_LETTERS = 3

_EMOJI = r"\u2600-\u27bf\U0001f300-\U0001f64f\U0001f680-\U0001faff"
_HAN_SIGNS = rf".\-_*·•~|/。{_EMOJI}"
_SIGNS = rf"{_HAN_SIGNS}'\"^#=+"
_LETTER = rf"[{LATIN}асеорхуіѕјһ]"
"""Cyrillic look-alikes too: `ѕ c а m`."""
_FIGURE = rf"[{LATIN}асеорхуіѕјһ01345@$]"
_WORDLIKE = rf"{LATIN}\d\u0370-\u052f"

_SINGLE = re.compile(rf"([ {_SIGNS}])\w\ ?\1|([ {_SIGNS}])[@$]\2")
"""Without something single between two separators there is nothing to join but `_KNOTS`."""
_SPELT = re.compile(
    rf"(?<![{_WORDLIKE}'’@_]){_LETTER}(?P<gap>\ ?[{_SIGNS}]{{1,2}}\ ?|\ ){_FIGURE}"
    rf"(?:(?P=gap){_FIGURE})+(?![{_WORDLIKE}]|['’][{LATIN}])"
)
_KNOTS = re.compile(rf"(?<=[{HAN}])[*.·•_#|](?=[{HAN}])")
_IS_HAN = re.compile(f"[{HAN}]")
_PIECE = rf"(?:(?<![{HAN}])[{HAN}]++|(?<![{_WORDLIKE}])[a-z](?![{_WORDLIKE}]))"
_CHAIN = re.compile(rf"{_PIECE}(?P<gap>\ ?[{_HAN_SIGNS}]{{1,2}}\ ?|\ ){_PIECE}(?:(?P=gap){_PIECE})+")
_PIECES = re.compile(_PIECE)

_KEYS = frozenset({"wasd", "asd", "zxc", "kda", "dota", "lgbt", "lol", "omg", "wtf"})
"""Written with separators for other reasons than to hide, or harmless either way."""
_VOWELS = frozenset("aeiou")
_NO_WORD = re.compile(r"q(?!u)|[\d@$]{2}")
_WORDS_OF_ONE_LETTER = frozenset("uraicyn")
"""`u r a legend`, `i c u`."""


def separators(view: Aligned) -> list[Edit]:
    """What to take out between single letters of one word and between characters of one phrase."""
    text = view.text
    gaps: set[tuple[int, int]] = set()
    if _SINGLE.search(text):
        for match in _SPELT.finditer(text):
            gaps.update(_gaps_of_word(view, match))
        for match in _CHAIN.finditer(text):
            gaps.update(_gaps_of_phrase(match))
    for match in _KNOTS.finditer(text):
        if _is_knot(text, *match.span()):
            gaps.add(match.span())
    return _apart(sorted(gaps))


def _gaps_of_word(view: Aligned, match: re.Match[str]) -> list[tuple[int, int]]:
    gap = len(match["gap"])
    letters = match[0][:: gap + 1]
    if not _is_spelt(letters) or (match["gap"] == " " and len(letters) == 3 and set(letters) <= _WORDS_OF_ONE_LETTER):
        return []
    gaps = [(place, place + gap) for place in range(match.start() + 1, match.end(), gap + 1)]
    between_words = [span for span in gaps if match["gap"] == " " and _is_wide(view, span[0])]
    return [span for span in gaps if span not in between_words] if len(between_words) < len(gaps) else gaps


def _is_spelt(letters: str) -> bool:
    """Whether single characters in a row spell a word, rather than count, name keys or stand for themselves."""
    alphabetic = [letter for letter in letters if letter.isalpha()]
    if len(alphabetic) < max(FEWEST_LETTERS, 2 * (len(letters) - len(alphabetic))) or len(set(alphabetic)) < 2:
        return False
    if not any(map(str.isascii, alphabetic)) or set(alphabetic) <= _VOWELS:
        return False
    if letters in _KEYS or _NO_WORD.search(letters):
        return False
    steps = {ord(after) - ord(before) for before, after in pairwise(letters)}
    return steps not in ({1}, {-1})


def _is_wide(view: Aligned, place: int) -> bool:
    """Several spaces were written here: `f r e e   m o n e y` is two words."""
    return view.ends[place] - view.starts[place] > 1


def _gaps_of_phrase(match: re.Match[str]) -> list[tuple[int, int]]:
    """Gaps at pieces that stand alone and have a neighbour that stands alone."""
    pieces = [piece.span() for piece in _PIECES.finditer(match.string, *match.span())]
    if sum(1 for start, _ in pieces if _IS_HAN.match(match.string, start)) < 2:
        return []
    alone = [end - start == 1 for start, end in pieces]
    gaps: list[tuple[int, int]] = []
    for place in range(len(pieces) - 1):
        pair = alone[place] and alone[place + 1]
        led = alone[place] and place > 0 and alone[place - 1]
        leads = alone[place + 1] and place + 2 < len(pieces) and alone[place + 2]
        if pair or led or leads:
            gaps.append((pieces[place][1], pieces[place + 1][0]))
    return gaps


def _is_knot(text: str, start: int, end: int) -> bool:
    """`裸*聊` always; another sign where a character beside it stands alone: `赌.博`, not `好的.知道了`, `真·大佬`."""
    if text[start] == "*":
        return True
    before = text[start - 2] if start > 1 and text[start] not in "·•" else "一"
    after = text[end + 1] if end + 1 < len(text) else ""
    return not (_IS_HAN.match(before) and _IS_HAN.match(after))


def _apart(gaps: list[tuple[int, int]]) -> list[Edit]:
    edits: list[Edit] = []
    for start, end in gaps:
        if not edits or edits[-1][1] <= start:
            edits.append((start, end, ""))
    return edits
