"""Takes what one user wrote in a chat out of what was concluded from it. Scores stay: they are numbers, of no person.

An observation is blanked and not dropped, so that what stands beside it in order (a shadow's scores) still does.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pipelines.record import Evidence, Observations, Record, TextObservation, Verdict

REMOVED = "[removed]"
"""Stands for text that was taken out; no chat line that is scored looks like it."""


@dataclass(frozen=True, slots=True)
class Erasure:
    """A record without the user, and the texts that nobody else wrote, as they may stand in reports."""

    record: Record
    texts: frozenset[str]


def without_user(record: Record, names: Collection[str]) -> Erasure | None:
    """The record without what the user of these names wrote; None when it has nothing of theirs."""
    observations = observations_without(record.observations, names)
    if observations is None:
        return None
    before, after = _spoken(record.observations), _spoken(observations)
    gone = before - after
    verdicts = tuple(_verdict(verdict, gone) for verdict in record.verdicts)
    return Erasure(record.model_copy(update={"observations": observations, "verdicts": verdicts}), frozenset(gone))


def observations_without(observations: Observations, names: Collection[str]) -> Observations | None:
    """The observations without the user; None when there is nothing of theirs."""
    if not any(set(names) & set(text.users) for text in observations.texts):
        return None
    return observations.model_copy(update={"texts": tuple(_text(text, names) for text in observations.texts)})


def _text(text: TextObservation, names: Collection[str]) -> TextObservation:
    others = tuple(user for user in text.users if user not in names)
    if len(others) == len(text.users):
        return text
    if others:
        return text.model_copy(update={"users": others})
    blank = {"text": REMOVED, "normalised": REMOVED, "unmasked": None, "hits": (), "users": (), "language": None}
    return text.model_copy(update=blank)


def _spoken(observations: Observations) -> set[str]:
    return {
        written
        for text in observations.texts
        for written in (text.text, text.normalised, text.unmasked)
        if written and written != REMOVED
    }


def _verdict(verdict: Verdict, gone: Collection[str]) -> Verdict:
    evidence = tuple(_evidence(one, gone) for one in verdict.evidence)
    return verdict if evidence == verdict.evidence else verdict.model_copy(update={"evidence": evidence})


def _evidence(one: Evidence, gone: Collection[str]) -> Evidence:
    return one.model_copy(update={"text": REMOVED, "surface": None, "chain": ()}) if one.text in gone else one
