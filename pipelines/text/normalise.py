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

import opencc

LONGEST_RUN = 3
"""`goooool` and `gooool` are one word; three keeps apart what two would merge (`111`, `哈哈`)."""

_HANGUL_FILLERS = "\u115f\u1160\u3164\uffa0"
"""Letters by category, blank on screen: used to split words."""
_RUN = re.compile(rf"([^\d\s])\1{{{LONGEST_RUN},}}")
_SPACES = re.compile(r"\s+")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


@dataclass(frozen=True, slots=True)
class Normalised:
    """`chain` holds the names of the steps that changed the text, in the order they ran."""

    text: str
    chain: tuple[str, ...]


def strip_invisible(text: str) -> str:
    """Without format and control characters (zero-width, bidi, soft hyphen), fillers and variation selectors.

    Control characters that are white space stay: a line break separates words.
    """
    return "".join(character for character in text if character.isspace() or not _is_invisible(character))


def compose(text: str) -> str:
    """NFKC: full-width and styled letters become plain ones, accents are composed."""
    return unicodedata.normalize("NFKC", text)


def fold_case(text: str) -> str:
    return compose(text.casefold())


def simplify(text: str) -> str:
    """Traditional Chinese to Simplified; other scripts are left alone."""
    return str(_converter().convert(text)) if _HAN.search(text) else text


def shorten_runs(text: str) -> str:
    """Runs of one character cut to `LONGEST_RUN`; digits stay, because 10000 and 100000 differ."""
    return _RUN.sub(lambda run: run[1] * LONGEST_RUN, text)


def fold_space(text: str) -> str:
    return _SPACES.sub(" ", text).strip()


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


def _is_invisible(character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") or character in _HANGUL_FILLERS:
        return True
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


@functools.cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
