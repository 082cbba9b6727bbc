"""One spelling for one meaning: the form in which text is matched and scored.

The original is never replaced by it: observations keep both. The chain names the steps that changed
something, so that a reader of a match can see how far it is from what was written. No model is
needed here; worker children call this on every line.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

import opencc

LONGEST_RUN = 3
"""`goooool` and `gooool` are one word; three keeps apart what two would merge (`111`, `哈哈`)."""

_HANGUL_FILLERS = "\u115f\u1160\u3164\uffa0"
"""Letters by category, blank on screen: used to split words."""
_BLANK = re.compile(rf"[{_HANGUL_FILLERS}\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Fillers and variation selectors: invisible although `str.isprintable` says otherwise."""
SPACES = re.compile(r"\s+")
RUN = re.compile(rf"([^\d\s])\1{{{LONGEST_RUN},}}")


@dataclass(frozen=True, slots=True)
class Normalised:
    """`chain` holds the names of the steps that changed the text, in the order they ran."""

    text: str
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Traditional:
    """OpenCC's table of Traditional and Simplified characters, for lines that need no phrase of it."""

    changing: frozenset[str]
    phrases: re.Pattern[str]
    characters: dict[int, str]


def strip_invisible(text: str) -> str:
    """Without format and control characters (zero-width, bidi, soft hyphen), fillers and variation selectors.

    Control characters that are white space stay: a line break separates words.
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "".join(character for character in text if character.isspace() or not is_invisible(character))


def compose(text: str) -> str:
    """NFKC: full-width and styled letters become plain ones, accents are composed."""
    return unicodedata.normalize("NFKC", text)


def fold_case(text: str) -> str:
    return compose(text.casefold())


def simplify(text: str) -> str:
    """Traditional Chinese to Simplified, character for character; other scripts are left alone."""
    table = _traditional()
    if text.isascii() or table.changing.isdisjoint(text):
        return text
    if table.phrases.search(text):
        return str(_converter().convert(text))
    return text.translate(table.characters)


def shorten_runs(text: str) -> str:
    """Runs of one character cut to `LONGEST_RUN`; digits stay, because 10000 and 100000 differ."""
    if len(text) - len(set(text)) < LONGEST_RUN:
        return text
    return RUN.sub(lambda run: run[1] * LONGEST_RUN, text)


def fold_space(text: str) -> str:
    return " ".join(text.split())


STEPS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("invisible", strip_invisible),
    ("compatibility", compose),
    ("case", fold_case),
    ("simplified", simplify),
    ("runs", shorten_runs),
    ("space", fold_space),
)
"""In this order: a step may rely on what the ones before it did."""


def normalise(text: str) -> Normalised:
    """The text after every step; normalising it again changes nothing."""
    chain: list[str] = []
    for name, step in STEPS:
        changed = step(text)
        if changed != text:
            chain.append(name)
        text = changed
    return Normalised(text=text, chain=tuple(chain))


def is_invisible(character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return True
    return _BLANK.match(character) is not None


@functools.cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@functools.cache
def _traditional() -> _Traditional:
    """Read off OpenCC's own files. Its converter takes 20 times as long, and most lines hold no phrase of its list."""
    characters = {key: value for key, value in _dictionary("TSCharacters.txt") if key != value}
    phrases = dict(_dictionary("TSPhrases.txt"))
    changing = set(characters)
    for phrase, simplified in phrases.items():
        if phrase != simplified and changing.isdisjoint(phrase):
            changing.update(phrase)
    return _Traditional(
        changing=frozenset(changing),
        phrases=re.compile("|".join(sorted(phrases))),
        characters={ord(key): value for key, value in characters.items()},
    )


def _dictionary(name: str) -> list[tuple[str, str]]:
    """Lines of `key`, tab and values separated by spaces, of which the converter takes the first."""
    lines = (files("opencc") / "dictionary" / name).read_text(encoding="utf-8").splitlines()
    return [(key, values.split(" ")[0]) for key, values in (line.split("\t") for line in lines)]
