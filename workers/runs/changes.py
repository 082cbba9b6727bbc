"""What a new record says otherwise than the one it was made from."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.record import ACTIONS, SEVERITIES, Record, Verdict
from workers.runs.run import Change, ChangeKind, Standing
from workers.verdicts.timeline import is_flagged

TEXT_KEPT = 300
"""Characters of the evidence that a change quotes: enough to recognise it by."""


def changes_between(source: Record, new: Record) -> tuple[Change, ...]:
    """One change for each policy whose verdict was flagged, lifted, raised or lowered, in the order of `new`."""
    return tuple(_changes(source, new))


def _changes(source: Record, new: Record) -> Iterator[Change]:
    before = {verdict.policy: verdict for verdict in source.verdicts}
    for after in new.verdicts:
        old = before.get(after.policy)
        kind = _kind(old, after) if old is not None else None
        if old is None or kind is None:
            continue
        shown = (after if kind in ("flagged", "raised") else old).evidence
        strongest = shown[0] if shown else None
        yield Change(
            kind=kind,
            policy=after.policy,
            stream_id=new.stream_id,
            segment_id=new.segment_id,
            captured_at=new.captured_at,
            language=_language(new),
            region=new.context.region,
            viewers=new.context.viewers,
            before=_standing(old),
            after=_standing(after),
            modality=strongest.modality if strongest else None,
            label=strongest.label if strongest else None,
            text=strongest.text[:TEXT_KEPT] if strongest and strongest.text else None,
        )


def _kind(before: Verdict, after: Verdict) -> ChangeKind | None:
    match is_flagged(before), is_flagged(after):
        case False, True:
            return "flagged"
        case True, False:
            return "lifted"
        case True, True if _rank(after) != _rank(before):
            return "raised" if _rank(after) > _rank(before) else "lowered"
        case _:
            return None


def _rank(verdict: Verdict) -> tuple[int, int]:
    return SEVERITIES.index(verdict.severity), ACTIONS.index(verdict.action)


def _standing(verdict: Verdict) -> Standing:
    return Standing(severity=verdict.severity, action=verdict.action, probability=verdict.probability)


def _language(record: Record) -> str | None:
    """What was heard, or else what the platform declares."""
    speech = record.observations.speech
    return (speech.language if speech else None) or record.context.language
