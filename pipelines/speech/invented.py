"""Which spans of a transcript nobody said: Whisper writes something for every window that it is given.

Its own numbers give much of that away. A window that is probably no speech and badly written is none, and one that
compresses too well is a loop: section 4.5 of the Whisper paper (Radford et al. 2022, arXiv:2212.04356), whose limits
faster-whisper took over. There a window that fails is decoded again with sampling; here it is not, so that one
clip gives one transcript, and what fails is left out and counted. Lines that are known to be invented
(`pipelines.speech.stock_lines`) and phrases that come round again and again are said by people, too: they count only
where something else is doubtful.
"""

from __future__ import annotations

import functools
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipelines.items import Span
from pipelines.speech.stock_lines import COURTESIES, CREDITS, SOUNDS

UNSURE = math.exp(-1.0)
NO_SPEECH = 0.5
COMPRESSION = 2.4
"""Below the first it is guessing; from the second on it is silent unless it is sure of itself; above the third it is in
a loop. The paper's second is 0.6, for models of every size; steady noise under speech lifts it to 0.5."""

DOUBTFUL_CONFIDENCE = 0.6
DOUBTFUL_NO_SPEECH = 0.3
LITTLE_VOICE_S = 1.5
"""Any of these makes a span doubtful. The voice gate adds 0.4 s on both sides of what it hears: this is one word.

Whisper base on clean speech: confidence 0.61 and more, no speech 0.2 and less; on songs and babble without words, where
it is in no loop, 0.55 and less, and 0.3 and more.
"""

TIMES = 3
"""A phrase that often in a row is a loop."""
LONGEST_PHRASE = 24
"""Words or characters of a phrase that may come round."""

_ASIDE = re.compile(r"[\[(（【<][^\[\](（【)）】<>]*[\])）】>]|\*[^*]+\*")
_CLAUSE_END = re.compile(r"[.,!?;:…。，、！？；：~\n]+")
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_]+(?:['’][^\W_]+)*")
_LETTER = re.compile(r"[a-z]")
_INSIDE_WORD = re.compile(r"(?<=\w)\.(?=\w)")
"""The dot of an address ends no clause."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One span, its words, and which of them are part of a loop, and of its second turn or a later one."""

    span: Span
    folded: str
    words: Sequence[str]
    looped: int
    again: int


def invented(spans: Sequence[Span], folded: Sequence[str], voiced_s: float) -> tuple[bool, ...]:
    """For each span of one transcript, in order of time: did nobody say it?

    `folded` is each span's text as it is matched (lower case, Simplified), `voiced_s` what passed the voice gate.
    """
    words = [tuple(_WORD.findall(_without_asides(text))) for text in folded]
    looped, again = _turns([word for one in words for word in one])
    ends = list(accumulate(len(one) for one in words))
    said = [
        _Said(span, text, one, sum(looped[end - len(one) : end]), sum(again[end - len(one) : end]))
        for span, text, one, end in zip(spans, folded, words, ends, strict=True)
    ]
    return tuple(_nobody_said(one, voiced_s) for one in said)


def is_doubtful(span: Span, voiced_s: float) -> bool:
    """Whether its numbers alone leave it open that the model made it up."""
    return (
        span.no_speech >= DOUBTFUL_NO_SPEECH
        or span.confidence < DOUBTFUL_CONFIDENCE
        or span.compression > COMPRESSION
        or voiced_s < LITTLE_VOICE_S
    )


def _nobody_said(said: _Said, voiced_s: float) -> bool:
    span = said.span
    if not said.words or said.again == len(said.words) or _compression(span.text) > COMPRESSION:
        return True
    if span.confidence < (DOUBTFUL_CONFIDENCE if span.no_speech >= NO_SPEECH else UNSURE):
        return True
    if not is_doubtful(span, voiced_s):
        return False
    return said.looped * 2 >= len(said.words) or _is_stock(said.folded)


def _is_stock(folded: str) -> bool:
    """Whether it holds a credit, or nothing but courtesies and sounds."""
    text = _without_asides(folded)
    squeezed = _squeezed(text)
    if any(credit in squeezed for credit in _credits()):
        return True
    clauses = [clause for clause in _CLAUSE_END.split(_INSIDE_WORD.sub("", text)) if _WORD.search(clause)]
    return all(_squeezed(clause) in _courtesies() or _is_sounds(clause) for clause in clauses)


def _is_sounds(clause: str) -> bool:
    """Single Latin letters are how it spells what is sung: e-e-o."""
    return all(word in SOUNDS or _LETTER.fullmatch(word) for word in _WORD.findall(clause))


def _turns(words: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """For each word: is it part of a phrase that is said `TIMES` times in a row, and not of the first turn?"""
    looped, again = [False] * len(words), [False] * len(words)
    for period in range(1, min(LONGEST_PHRASE, len(words) // TIMES) + 1):
        start = 0
        while start + period < len(words):
            end = start
            while end + period < len(words) and words[end] == words[end + period]:
                end += 1
            if end - start >= period * (TIMES - 1) and not any(looped[start : end + period]):
                looped[start : end + period] = [True] * (end + period - start)
                again[start + period : end + period] = [True] * (end - start)
            start = end + 1
    return looped, again


def _without_asides(text: str) -> str:
    """Without what stands in brackets or between stars: sounds described, not words said."""
    return _ASIDE.sub(" ", text)


def _squeezed(text: str) -> str:
    """Its letters and digits alone: marks and spaces are the model's, not the speaker's."""
    return "".join(character for character in text if character.isalnum())


def _compression(text: str) -> float:
    """Bytes to compressed bytes, as Whisper counts it, of a span as written; the span's own number is its window's."""
    encoded = text.encode()
    return len(encoded) / len(zlib.compress(encoded))


@functools.cache
def _credits() -> frozenset[str]:
    return frozenset(map(_squeezed, CREDITS))


@functools.cache
def _courtesies() -> frozenset[str]:
    return frozenset(map(_squeezed, COURTESIES))
