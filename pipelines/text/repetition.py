"""Letters and characters written several times where once is meant: `fuuuuck`, `加加微微信信`."""

from __future__ import annotations

import re

from pipelines.text.aligned import Aligned, Edit
from pipelines.text.lookalikes import HAN, LATIN

MOST_LETTERS_OF_A_SOUND = 2
"""Different ones. `emmm`, `hmmm`, `sooo`, `awww`, `www` and `kkk` hide nothing."""
PAIRS_THAT_STUTTER = 3
"""Two pairs are a word (`高高兴兴`), four are two words, and more are a joke."""

_THRICE = re.compile(rf"([{LATIN}])\1\1+")
_WORD = re.compile(rf"[{LATIN}]+")
_NUMERAL = re.compile("[ivxlcdm]+")
"""`viii`, and sizes: `xxxl`."""
_NEVER_DOUBLE = frozenset("ahijkquvwxy")
_DOUBLE_AT_THE_END = frozenset("eoslfz")
_STUTTER = re.compile(rf"(?:([{HAN}])\1{{1,2}}){{3,}}")
_IS_HAN = re.compile(f"[{HAN}]")
_ONE_OF_EACH = re.compile(r"(.)\1+")


def repetitions(view: Aligned) -> list[Edit]:
    """Takes out what Latin words hold of one letter beyond one or two, and what stutters over several characters.

    Sounds (`emmm`) and numerals stay.
    """
    edits: list[Edit] = []
    text = view.text
    if _THRICE.search(text):
        for word in _WORD.finditer(text):
            if len(set(word[0])) > MOST_LETTERS_OF_A_SOUND and not _NUMERAL.fullmatch(word[0]):
                edits += _beyond(word)
    for stutter in _STUTTER.finditer(text):
        each = list(_ONE_OF_EACH.finditer(text, *stutter.span()))
        if len(set(stutter[0])) > 2 and (len(stutter[0]) > 2 * len(each) or _is_all(stutter, len(each))):
            edits += [(run.start(), run.end(), run[1]) for run in each]
    return sorted(edits)


def _is_all(stutter: re.Match[str], pairs: int) -> bool:
    """Whether a few pairs are all that is said; in a sentence they are words that meet: `男男女女明明`."""
    around = stutter.string[: stutter.start()][-1:], stutter.string[stutter.end() :][:1]
    return pairs == PAIRS_THAT_STUTTER and not any(map(_IS_HAN.match, around))


def _beyond(word: re.Match[str]) -> list[Edit]:
    """Of a run the last that stays stands for those that go."""
    edits: list[Edit] = []
    for run in _THRICE.finditer(word.string, *word.span()):
        kept = 1 if _is_single(run[1], word.string[word.start() : run.start()], at_end=run.end() == word.end()) else 2
        edits.append((run.start() + kept - 1, run.end(), run[1]))
    return edits


def _is_single(letter: str, before: str, *, at_end: bool) -> bool:
    """Whether words do not have the letter doubled in this place: `fuuuck`, `shitttt`, but `nooo` and `yesss`."""
    if letter in _NEVER_DOUBLE:
        return True
    return at_end and (letter not in _DOUBLE_AT_THE_END or (letter in "slfz" and before[-1:] not in tuple("aeiou")))
