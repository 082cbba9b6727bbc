"""Whether the demo found what was planted, and nothing where nothing was. Pure: records in, sentences out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import chain

from pipelines.record import ACTIONS, Action, Record, Verdict
from workers.demo.clock import clock, extent
from workers.demo.programme import Planted, PlantedRisk

TOLERANCE_S = 0.5
"""Cuts fall on frames, not on the second."""
CLEAR = 0.5
"""Evidence of at least this probability shows a risk by itself."""
SHARE_FLAGGED = 0.5
"""A planted stretch counts as found when a person is asked to look at this share of its segments."""


def above_watch(action: Action) -> bool:
    """Whether somebody is asked to look, or more."""
    return ACTIONS.index(action) > ACTIONS.index("watch")


def shortfalls(records: Sequence[Record], planted: Planted, start: datetime) -> tuple[str, ...]:
    """A sentence for each thing that does not hold; empty when all of it does.

    `start` is the wall clock at the stream's first instant.
    """
    missed = (_missed(records, risk, start) for risk in planted.risks if not risk.deep)
    return (
        *_uncovered(records, planted, start),
        *chain.from_iterable(missed),
        *_false_alarms(records, planted, start),
    )


def deep_shortfalls(records: Sequence[Record], planted: Planted, start: datetime) -> tuple[str, ...]:
    """As `shortfalls`, for what only deep reviews are to find, of which these are the records."""
    missed = (_missed(records, risk, start) for risk in planted.risks if risk.deep)
    return tuple(f"by deep reviews, {line}" for line in chain.from_iterable(missed))


def _uncovered(records: Sequence[Record], planted: Planted, start: datetime) -> Iterator[str]:
    """Stretches of the stream that no record covers."""
    reached = 0.0
    for begins, ends in sorted(extent(record, start) for record in records):
        if begins > reached + TOLERANCE_S:
            yield f"{clock(reached)}-{clock(begins)}: there is no record"
        reached = max(reached, ends)
    if reached < planted.duration_s - TOLERANCE_S:
        yield f"{clock(reached)}-{clock(planted.duration_s)}: there is no record"


def _missed(records: Sequence[Record], risk: PlantedRisk, start: datetime) -> Iterator[str]:
    """What of a planted risk was not found: the stretch itself, or what a modality showed of it."""
    where = f"{clock(risk.from_s)}-{clock(risk.to_s)}: {risk.policy} was planted"
    verdicts = [_verdict(record, risk.policy) for record in records if _within(record, risk, start)]
    raised = [verdict for verdict in verdicts if verdict is not None and above_watch(verdict.action)]
    if not verdicts or len(raised) < SHARE_FLAGGED * len(verdicts):
        yield f"{where} and is flagged in {len(raised)} of {len(verdicts)} segments only"
        return
    showed = {one.modality for verdict in raised for one in verdict.evidence if one.probability >= CLEAR}
    for modality in risk.modalities:
        if modality not in showed:
            yield f"{where} in {modality} too, where nothing was seen of it"


def _false_alarms(records: Sequence[Record], planted: Planted, start: datetime) -> Iterator[str]:
    """Verdicts above watch that no planted risk explains: in benign segments, or under another policy."""
    for record in records:
        begins, ends = extent(record, start)
        expected = {
            policy
            for risk in planted.risks
            for policy in (risk.policy, *risk.near)
            if begins < risk.to_s + risk.settles_s - TOLERANCE_S and ends > risk.from_s + TOLERANCE_S
        }
        for verdict in record.verdicts:
            if above_watch(verdict.action) and verdict.policy not in expected:
                yield f"{clock(begins)}-{clock(ends)}: {verdict.policy} is at {verdict.action}, but was not planted"


def _within(record: Record, risk: PlantedRisk, start: datetime) -> bool:
    begins, ends = extent(record, start)
    return begins >= risk.from_s - TOLERANCE_S and ends <= risk.to_s + TOLERANCE_S


def _verdict(record: Record, policy: str) -> Verdict | None:
    return next((verdict for verdict in record.verdicts if verdict.policy == policy), None)
