"""Which of a lexicon's hits count: one that needs context only where a model or another term of its policy gives it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.policies import Fusion
from pipelines.record import Hit, TextObservation


@dataclass(frozen=True, slots=True)
class _Witness:
    """A hit and the text it stands in, by its place among the texts."""

    hit: Hit
    place: int
    text: TextObservation


def counting(
    texts: Sequence[TextObservation], said: Sequence[Mapping[str, float]], fusion: Fusion
) -> tuple[tuple[Hit, ...], ...]:
    """Of each text the hits that count; `said` is policy -> the models' calibrated probability, for each text.

    Another term vouches for a hit from the same text, or from one of the same source at most `hit_neighbours_s`
    apart. By its sound alone a term vouches in its own text only: in a lively chat some homophone is always near.
    """
    near: dict[tuple[str, str], list[_Witness]] = defaultdict(list)
    for place, text in enumerate(texts):
        for hit in text.hits:
            near[text.source, hit.policy].append(_Witness(hit, place, text))

    def counts(hit: Hit, place: int, text: TextObservation) -> bool:
        if not hit.needs_context or said[place].get(hit.policy, 0.0) >= fusion.hit_context:
            return True
        own = _Witness(hit, place, text)
        return any(_vouches(other, own, fusion) for other in near[text.source, hit.policy])

    return tuple(tuple(hit for hit in text.hits if counts(hit, place, text)) for place, text in enumerate(texts))


def _vouches(other: _Witness, own: _Witness, fusion: Fusion) -> bool:
    if other.hit.term == own.hit.term:
        return False
    if other.place == own.place:
        return True
    if other.hit.by_sound or _are_one(other.text, own.text):
        return False
    return _apart_s(other.text, own.text) <= fusion.hit_neighbours_s


def _are_one(first: TextObservation, second: TextObservation) -> bool:
    """Whether one may be a line of the other: short lines of a user are there by themselves and joined."""
    return bool(first.joined or second.joined) and not set(first.users).isdisjoint(second.users)


def _apart_s(first: TextObservation, second: TextObservation) -> float:
    """Between the end of the earlier one and the start of the later one; 0 where they overlap."""
    ends = [text.at_s if text.end_s is None else text.end_s for text in (first, second)]
    return max(0.0, first.at_s - ends[1], second.at_s - ends[0])
