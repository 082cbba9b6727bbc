"""Finds every spelling of every term in one pass over a text, and every term's sound in one over its syllables.

Aho-Corasick automata (Aho and Corasick, 1975, as built by pyahocorasick) find all of them at once, so that three
thousand terms cost a line no more than three. What is found here are candidates: which of them count is decided by
whoever asked.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import or_
from typing import Any, Literal

import ahocorasick

from pipelines.text.aligned import Aligned, aligned
from pipelines.text.lexicon_file import Entry, is_han, is_long_enough
from pipelines.text.pinyin import Syllable, sounds
from pipelines.text.unmask import unmask_aligned

Way = Literal["term", "variant", "allowed"]
LOSES = "repeat"
"""A step after which a spelling may be another word: `kkk` is not `kk`."""
FEWEST_SYLLABLES = 2
_WITHOUT_ACCENTS = str.maketrans("áàâãéèêíìîóòôõúùûüý", "aaaaeeeiiioooouuuuy")
"""Accents that chat leaves out. Not what makes another letter of it: `ñ`, `ö`, `ç`."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """What one spelling in the automaton stands for. `weak`: a lone sign, which says little by itself."""

    entry: Entry
    way: Way
    weak: bool


@dataclass(frozen=True, slots=True)
class Heard:
    """Syllables of a text that sound like a term or another word for it: `meant`. Offsets into the text they are of."""

    entry: Entry
    meant: str
    start: int
    end: int
    syllables: Sequence[Syllable]

    def is_half_spelt(self, text: str) -> bool:
        """Whether the word itself stands there with some of its characters in pinyin, without a gap: `赌bo`."""
        written = [text[each.start : each.end] for each in self.syllables]
        kept = [own == meant for own, meant in zip(written, self.meant, strict=True)]
        spelt = [each.latin for each in self.syllables]
        return (
            any(spelt) and any(kept) and all(map(or_, spelt, kept)) and sum(map(len, written)) == self.end - self.start
        )


class Spellings:
    """Terms, other words for them, their other spellings and the phrases in which they do not count."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        known: dict[str, list[Spelt]] = {}
        for entry in entries:
            for way, spelling in _spellings(entry):
                for form in {form.translate(_WITHOUT_ACCENTS) for form in _forms(spelling)}:
                    known.setdefault(form, []).append(Spelt(entry, way, _is_weak(form)))
        self._automaton = _automaton({form: (len(form), tuple(spelt)) for form, spelt in known.items()})

    def find(self, text: str) -> Iterator[tuple[int, int, Spelt]]:
        """Start, end and what stands there; Latin letters and digits only as whole words and numbers.

        Accents on vowels make no difference.
        """
        if self._automaton is None:
            return
        text = text.translate(_WITHOUT_ACCENTS)
        for last, (length, spelt) in self._automaton.iter(text):
            start, end = last + 1 - length, last + 1
            if _is_whole(text, start, end):
                yield from ((start, end, one) for one in spelt)


class Sounds:
    """Terms that are also found by how they sound, whatever is written; all Chinese ones, as they may be half spelt."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._letters: dict[str, str] = {}
        known: dict[str, list[tuple[Entry, str]]] = {}
        for entry in entries:
            for spelling in dict.fromkeys((entry.term, *entry.phrases)):
                if word := self._word_of(aligned(spelling)):
                    known.setdefault(word, []).append((entry, aligned(spelling).text))
        self._automaton = _automaton({word: (len(word), tuple(found)) for word, found in known.items()})

    def find(self, runs: Sequence[Sequence[Syllable]]) -> Iterator[Heard]:
        """Every stretch of the runs that sounds like a term, also where it is written like one."""
        if self._automaton is None:
            return
        for run in runs:
            if len(run) < FEWEST_SYLLABLES:
                continue
            for last, (length, entries) in self._automaton.iter(self._as_word(run)):
                found = run[last + 1 - length : last + 1]
                yield from (Heard(entry, meant, found[0].start, found[-1].end, found) for entry, meant in entries)

    def _word_of(self, term: Aligned) -> str:
        """The term's syllables; nothing when a character of it has no reading, as it then cannot be heard."""
        runs = sounds(term)
        if len(runs) != 1 or len(runs[0]) != len(term.text) or not all(syllable.sound for syllable in runs[0]):
            return ""
        for syllable in runs[0]:
            self._letters.setdefault(syllable.sound, chr(len(self._letters) + 1))
        return self._as_word(runs[0])

    def _as_word(self, run: Sequence[Syllable]) -> str:
        """A letter for each syllable: the automaton knows strings. Syllables of no term are all alike."""
        return "".join([self._letters.get(syllable.sound, "\0") for syllable in run])


def _spellings(entry: Entry) -> Iterator[tuple[Way, str]]:
    yield from (("term", spelling) for spelling in (entry.term, *entry.phrases))
    yield from (("variant", spelling) for spelling in entry.variants)
    yield from (("allowed", phrase) for phrase in entry.allow)


def _forms(spelling: str) -> set[str]:
    """How a spelling looks in a normalised text, and in an unmasked one."""
    plain = aligned(spelling)
    opened = unmask_aligned(plain)
    forms = {plain.text}
    if opened.text != plain.text and is_long_enough(opened.text) and LOSES not in opened.chain(0, len(opened.text)):
        forms.add(opened.text)
    return forms


def _automaton(words: Mapping[str, object]) -> Any:
    """None without words: an empty automaton cannot be asked."""
    if not words:
        return None
    automaton = ahocorasick.Automaton()
    for word, value in words.items():
        automaton.add_word(word, value)
    automaton.make_automaton()
    return automaton


def _is_weak(form: str) -> bool:
    return len(form.replace(" ", "")) == 1


def _is_whole(text: str, start: int, end: int) -> bool:
    """Whether no word or number is cut: `vx` is in `vx6677` and in `加vx`, and neither in `vxworks` nor in `1vx`."""
    if start > 0 and _in_words(text[start]) and _in_words(text[start - 1]):
        return False
    if end == len(text) or not _in_words(text[end - 1]):
        return True
    after = text[end]
    return not _in_words(after) or (after.isdigit() and not text[end - 1].isdigit())


def _in_words(character: str) -> bool:
    """Whether it is of a script that puts spaces between words, or a digit."""
    if character.isascii():
        return character.isalnum()
    return unicodedata.category(character)[0] in "LMN" and not _is_unspaced(character)


def _is_unspaced(character: str) -> bool:
    """Chinese, Japanese, Korean (whose words carry endings), Thai, Lao, Burmese and Khmer."""
    return (
        is_han(character)
        or "\u3040" <= character <= "\u30ff"
        or "\uac00" <= character <= "\ud7af"
        or "\u0e00" <= character <= "\u0eff"
        or "\u1000" <= character <= "\u109f"
        or "\u1780" <= character <= "\u17ff"
    )
