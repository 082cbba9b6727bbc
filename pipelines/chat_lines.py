"""Chat of one segment as observations: a flood is examined once, what a user spells out over lines is read joined."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pipelines.chat_joins import Join, Key, is_short, joins_of
from pipelines.manifest import ChatLine
from pipelines.record import TextObservation
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise

MOST_DRESSINGS = 3
"""So many ways of putting emoji and signs to the letters of a short line are observations of their own."""

JOIN_CONFIDENCE = 0.8
"""A join is a guess that its lines belong together: nobody wrote them in one piece. Chosen, not measured."""

LONGEST_CODE = 4
"""Digits. Shorter lines of digits may be code words (`88`, `520`); longer ones are a number like any other."""

MOST_PICTURES = 16
"""Distinct lines of emoji alone that are examined in one segment."""

_REACTION = re.compile(r"[\U0001f600-\U0001f64f\U0001f910-\U0001f92f\U0001f970-\U0001f97a\u2764\U0001f493-\U0001f49f]")
"""Faces and hearts: what lines of emoji alone mostly are."""
_LETTER = re.compile(r"[^\W\d_]")
_LONG_NUMBER = re.compile(rf"\d{{{LONGEST_CODE + 1},}}")
_NUMBER = re.compile("0{2,}")
_LOOSE_NUMBER = re.compile(r"(?<![a-z])0(?![a-z])")
_ECHO = re.compile(r"([^\x00-\x7f]{1,12}?)\1+")
_DRAWL = re.compile(r"([a-z ]{1,12}?)\1{2,}")
_SPACES = re.compile(r" {2,}")


@dataclass(slots=True)
class _Group:
    """Lines that say the same; `signs` is what dresses the first one beside letters, numbers and punctuation."""

    signs: frozenset[str]
    lines: list[ChatLine]


@dataclass(slots=True)
class _Keys:
    """What the lines of one segment are grouped by. Each distinct run of letters is normalised once."""

    condensed: dict[str, str] = field(default_factory=dict)

    def of(self, text: str) -> Key:
        """The letters of a line without what floods vary, and the signs of a short one; no letters: nothing to examine.

        Numbers go unless they are glued to Latin letters (`5v5`, `k1ll`); of a line without letters its numbers
        are what it says. Repeated characters and phrases count once, repeated Latin ones twice (`good`).
        """
        letters, signs = _taken_apart(text)
        if _LETTER.search(letters) is None:
            whole = _LONG_NUMBER.sub("0" * (LONGEST_CODE + 1), normalise(text).text)
            return (whole if any(map(str.isalnum, whole)) else _pictures(signs)), frozenset()
        if letters not in self.condensed:
            self.condensed[letters] = _condensed(normalise(letters).text)
        return self.condensed[letters], signs if is_short(text) else frozenset()


def group_chat(
    lines: Sequence[ChatLine], *, repeated: bool = True
) -> tuple[tuple[TextObservation, ...], dict[str, float]]:
    """Observations in order of first appearance, then the joins; and how many lines and joins were spared, by reason.

    A join tells nothing that coverage counts: its lines are there, too. The work grows as the number of lines does.
    `repeated` False, for audits: lines that say the same are an observation each, too.
    """
    keys = _Keys()
    keyed = [(line, *keys.of(line.text)) for line in lines]
    written: list[_Group] = []
    alike: dict[str, list[_Group]] = {}
    pictures = without = 0
    for line, letters, signs in keyed:
        same = alike.get(letters, []) if repeated else []
        if (group := _group_for(same, signs)) is not None:
            group.lines.append(line)
        elif not letters or (pictures == MOST_PICTURES and not any(map(str.isalnum, letters))):
            without += 1
        else:
            pictures += not any(map(str.isalnum, letters))
            written.append(_Group(signs, [line]))
            alike[letters] = [*same, written[-1]]
    joins, unread = joins_of([(line, letters) for line, letters, _ in keyed], known=alike, key_of=keys.of)
    skipped = {"repeated": len(lines) - without - len(written), "no_letters": without, "joins": unread}
    observations = (*map(_observation, written), *map(_joined, joins))
    return observations, {reason: count for reason, count in skipped.items() if count}


def _group_for(same: Sequence[_Group], signs: frozenset[str]) -> _Group | None:
    """The group that a line with these signs repeats, of those with its letters; None: it starts another.

    `stock` and `stock ❄️` may offer different things; the hundredth random emoji says nothing new.
    """
    for group in same:
        if signs <= group.signs:
            return group
    return same[0] if len(same) >= MOST_DRESSINGS else None


def _pictures(signs: frozenset[str]) -> str:
    """What a line of emoji alone is grouped by: two different ones, faces and hearts apart, can be an offer."""
    telling = sorted(sign for sign in signs if unicodedata.category(sign) == "So" and not _REACTION.match(sign))
    return "".join(telling) if len(telling) > 1 else ""


class _Bare(dict[int, str]):
    """For `str.translate`: letters stay, digits become 0 and white space a space, signs and punctuation go."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category = unicodedata.category(character)
        if category[0] == "L" or category in ("Mn", "Mc", "Nl"):
            bare = character
        else:
            bare = " " if character.isspace() else "0" if category[0] == "N" else ""
        self[code] = bare
        return bare


_BARE = _Bare()


def _taken_apart(text: str) -> tuple[str, frozenset[str]]:
    """The letters, with one 0 for each number and spaces for white space, and the signs. Punctuation goes."""
    return _NUMBER.sub("0", text.translate(_BARE)), frozenset(filter(_is_sign, set(text)))


@lru_cache(maxsize=16384)
def _is_sign(character: str) -> bool:
    return character in "+＋@＠" or unicodedata.category(character) in ("So", "Sc")


def _condensed(letters: str) -> str:
    """Normalised letters without loose numbers and without repetition."""
    loose = _LOOSE_NUMBER.sub("", letters)
    once = _DRAWL.sub(r"\1\1", _ECHO.sub(r"\1", loose))
    return _SPACES.sub(" ", once).strip()


def _observation(group: _Group) -> TextObservation:
    first = group.lines[0]
    return TextObservation(
        source="chat",
        at_s=first.at_s,
        end_s=group.lines[-1].at_s if len(group.lines) > 1 else None,
        text=first.text,
        normalised=normalise(first.text).text,
        language=language_of(first.text),
        users=tuple(dict.fromkeys(line.user for line in group.lines)),
        repeats=len(group.lines),
    )


def _joined(join: Join) -> TextObservation:
    return TextObservation(
        source="chat",
        at_s=join.lines[0].at_s,
        end_s=join.lines[-1].at_s,
        text=join.text,
        normalised=normalise(join.text).text,
        language=language_of(join.text),
        confidence=JOIN_CONFIDENCE,
        users=join.users,
        repeats=join.repeats,
        joined=len(join.lines),
    )
