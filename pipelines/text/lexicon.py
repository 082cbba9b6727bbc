"""The lexicon in force: which terms a text holds, however they are disguised, and what the text says without disguise.

A hit keeps what was typed, where, and the steps from there to the term, so that whoever reads it can see how sure
it is. Overlapping hits of one policy are one hit. Whether a hit that needs context counts is for fusion to say.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, lru_cache
from pathlib import Path

from pipelines.items import CheckpointRef
from pipelines.record import Hit, by_sound
from pipelines.strict import Sha256
from pipelines.text.aligned import Aligned, aligned
from pipelines.text.doubtful import holds_a_word, is_latin_word, may_be_meant, words_around
from pipelines.text.lexicon_file import Entries, Entry, LexiconError, in_force, read_files
from pipelines.text.matching import FEWEST_SYLLABLES, Heard, Sounds, Spellings
from pipelines.text.normalise import normalise
from pipelines.text.pinyin import sounds
from pipelines.text.unmask import unmask, unmask_aligned

__all__ = ["Lexicon", "LexiconError", "Reading", "read_lexicons", "unmasked"]

GUESSES = ("variant", "sound", "pinyin")
"""Steps that no text undergoes: what is written is taken for the term."""
MOST_OF_A_TERM = 8
NEAR = 8
"""Candidates of one term that may begin before a place and reach over it."""
SESSION = "aho-corasick"
"""What runs a lexicon, as a record's checkpoints say it."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text holds. `unmasked` is its second view, disguises undone; None where that is the normalised text."""

    hits: tuple[Hit, ...]
    unmasked: str | None


@dataclass(frozen=True, slots=True)
class _Found:
    """A candidate: offsets into the original text; `doubtful` is one whose reading may be a mistake."""

    entry: Entry
    start: int
    end: int
    chain: tuple[str, ...]
    needs_context: bool
    doubtful: bool

    @property
    def rank(self) -> tuple[bool, int, int, float, int, str]:
        """What counts by itself before what needs context, the longest first, then the plainest."""
        return (
            self.needs_context,
            self.start - self.end,
            len(self.chain),
            -self.entry.strength,
            self.start,
            self.entry.term,
        )


class Lexicon:
    """The terms of one day; its automata are made when it is first asked. Safe for several threads."""

    def __init__(self, content: Entries, *, expired: int = 0) -> None:
        self.content = content
        self.expired = expired

    @property
    def digest(self) -> Sha256:
        return self.content.digest

    @property
    def ref(self) -> CheckpointRef:
        """How a record names it among its checkpoints."""
        return CheckpointRef(id="lexicons", digest=self.digest, session=SESSION)

    def read(self, text: str) -> Reading:
        """The hits in order of their place, and the text without disguises."""
        plain = aligned(text)
        opened = unmask_aligned(plain)
        views = (plain,) if opened.text == plain.text else (plain, opened)
        spelt, allowed = self._spelt(views)
        heard = [
            self._of_sound(one, opened, half=half)
            for one in self._sounds.find(sounds(opened))
            if _counts(one, opened.text, half=(half := one.is_half_spelt(opened.text)))
        ]
        if not spelt and not heard:
            return Reading((), opened.text if opened.text != plain.text else None)
        found = _standing(_not_allowed((*_widened(spelt, heard), *heard), allowed, len(text)), len(text))
        said = _without_disguise(opened, found)
        return Reading(tuple(_hits(found, text)), said if said != plain.text else None)

    def warm_up(self) -> None:
        """Makes the automata, which the first reading would wait for: a second or two of one core."""
        self.read("")

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.content.entries)

    @cached_property
    def _sounds(self) -> Sounds:
        return Sounds(self.content.entries)

    def _spelt(self, views: Sequence[Aligned]) -> tuple[list[_Found], list[_Found]]:
        """Terms and other spellings of them; and the phrases in which they do not count."""
        found: list[_Found] = []
        allowed: list[_Found] = []
        for view in views:
            for first, last, spelt in self._spellings.find(view.text):
                entry, variant = spelt.entry, spelt.way == "variant"
                start, end = view.surface(first, last)
                needs_context = spelt.weak or not entry.alone
                one = _Found(
                    entry=entry,
                    start=start,
                    end=end,
                    chain=(*view.chain(first, last), *(("variant",) if variant else ())),
                    needs_context=needs_context,
                    doubtful=variant and needs_context and may_be_meant(view.text[first:last], entry.language),
                )
                (allowed if spelt.way == "allowed" else found).append(one)
        return found, allowed

    def _of_sound(self, heard: Heard, opened: Aligned, *, half: bool) -> _Found:
        """In need of context, unless half of it is written. Two syllables have too many words of their sound."""
        written = opened.text[heard.start : heard.end].replace(" ", "")
        pinyin = any(syllable.latin for syllable in heard.syllables)
        homophone = any(
            not syllable.latin and opened.text[syllable.start : syllable.end] != meant
            for syllable, meant in zip(heard.syllables, heard.meant, strict=True)
        )
        steps = (*(("sound",) if homophone else ()), *(("pinyin",) if pinyin else ()))
        start, end = opened.surface(heard.start, heard.end)
        few = len(heard.syllables) <= FEWEST_SYLLABLES
        doubtful = few or (not pinyin and holds_a_word(written, heard.meant))
        return _Found(
            entry=heard.entry,
            start=start,
            end=end,
            chain=(*opened.chain(heard.start, heard.end), *steps),
            needs_context=not (half and heard.entry.alone),
            doubtful=doubtful and not half,
        )


def read_lexicons(folder: Path, *, today: date) -> Lexicon:
    """The lexicon of a folder on one day. `LexiconError` for the first mistake in any file."""
    files = read_files(folder)
    content = in_force(files, today)
    return Lexicon(content, expired=sum(not term.is_in_force(today) for file in files for term in file.terms))


def unmasked(text: str) -> str | None:
    """The second view of a text that no lexicon is asked about."""
    opened = unmask(text).text
    return opened if opened != normalise(text).text else None


def _counts(heard: Heard, text: str, *, half: bool) -> bool:
    """Whether what is heard may be the term: half spelt always, by sound alone where the lexicon says so."""
    if half:
        return not any(map(is_latin_word, words_around(text, heard.start, heard.end)))
    return heard.entry.sounds and heard.meant == _plain(heard.entry.term) and _is_guess(heard, text)


def _is_guess(heard: Heard, text: str) -> bool:
    """Whether sound says something that spelling does not.

    Not where the term itself is written, nor plain English, nor in two characters that belong to two words.
    """
    spelt_out = [one.latin for one in heard.syllables]
    if all(spelt_out):
        return not all(map(is_latin_word, words_around(text, heard.start, heard.end)))
    if any(spelt_out):
        return True
    written = text[heard.start : heard.end]
    together = " " not in written or len(heard.syllables) > FEWEST_SYLLABLES
    return together and written.replace(" ", "") != heard.meant


def _widened(spelt: Iterable[_Found], heard: Sequence[_Found]) -> Iterator[_Found]:
    """Spellings, each to the ends of its term's sound where it is a part of that: 加薇 in 加薇信. As sure as before."""
    around: dict[int, list[_Found]] = defaultdict(list)
    for one in heard:
        around[id(one.entry)].append(one)
    for one in spelt:
        near = around.get(id(one.entry), [])
        before = bisect_right(near, one.start, key=lambda other: other.start)
        whole = next((other for other in near[max(0, before - NEAR) : before] if other.end >= one.end), None)
        if whole is None:
            yield one
            continue
        undone = [step for step in whole.chain if step not in GUESSES]
        guessed = [step for step in GUESSES if step in one.chain or step in whole.chain]
        yield replace(one, start=whole.start, end=whole.end, chain=(*undone, *guessed))


def _not_allowed(found: Iterable[_Found], allowed: Iterable[_Found], length: int) -> Iterator[_Found]:
    """Those that share no character with a phrase in which their term does not count."""
    covered: dict[int, bytearray] = {}
    for phrase in allowed:
        _mark(covered.setdefault(id(phrase.entry), bytearray(length)), phrase)
    return (one for one in found if id(one.entry) not in covered or _is_free(covered[id(one.entry)], one))


def _standing(found: Iterable[_Found], length: int) -> list[_Found]:
    """Of those of one policy that overlap only the best; in the order of their place."""
    taken: dict[str, bytearray] = {}
    kept: list[_Found] = []
    for one in sorted(found, key=lambda one: one.rank):
        places = taken.setdefault(one.entry.policy, bytearray(length))
        if _is_free(places, one):
            _mark(places, one)
            kept.append(one)
    return sorted(kept, key=lambda one: (one.start, one.end))


def _mark(places: bytearray, found: _Found) -> None:
    places[found.start : found.end] = b"\1" * (found.end - found.start)


def _is_free(places: bytearray, found: _Found) -> bool:
    return 1 not in places[found.start : found.end]


def _without_disguise(opened: Aligned, found: Sequence[_Found]) -> str:
    """The opened text with the terms in place of what stands for them.

    Not where that is a guess, unless another term of the policy that is spelt out confirms it: a model that is
    told 博彩 of everybody's 菠菜 would confirm the very hit that made it so.
    """
    plainly: dict[str, set[str]] = defaultdict(set)
    for one in found:
        if not by_sound(one.chain):
            plainly[one.entry.policy].add(one.entry.term)
    pieces: list[str] = []
    at = 0
    for one in found:
        guessed = one.doubtful and not plainly[one.entry.policy] - {one.entry.term}
        first, last = _place(one, opened)
        if guessed or not _is_disguised(one) or first < at or last <= first:
            continue
        pieces += (opened.text[at:first], _plain(one.entry.term))
        at = last
    return "".join((*pieces, opened.text[at:]))


def _place(found: _Found, opened: Aligned) -> tuple[int, int]:
    """The characters of the opened text that come from the candidate's stretch of the original."""
    return bisect_right(opened.ends, found.start), bisect_left(opened.starts, found.end)


@lru_cache(maxsize=8192)
def _plain(term: str) -> str:
    return normalise(term).text


def _is_disguised(found: _Found) -> bool:
    return "variant" in found.chain or by_sound(found.chain)


def _hits(found: Iterable[_Found], text: str) -> Iterator[Hit]:
    """As they are recorded: a term that is pasted a hundred times into one text is told some times."""
    told: Counter[int] = Counter()
    for one in found:
        told[id(one.entry)] += 1
        if told[id(one.entry)] <= MOST_OF_A_TERM:
            yield _hit(one, text)


def _hit(found: _Found, text: str) -> Hit:
    return Hit(
        term=found.entry.term,
        policy=found.entry.policy,
        surface=text[found.start : found.end],
        start=found.start,
        end=found.end,
        chain=found.chain,
        strength=found.entry.strength,
        needs_context=found.needs_context,
    )
