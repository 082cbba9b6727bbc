"""One stream's records as stretches of time: what was flagged, what was clean, what nobody looked at.

Pure: takes records, returns stretches, reads nothing. Stretches overlap: two policies may be flagged at
once, and a flagged segment may still be partly examined. Every instant between the first and the last
record lies in at least one stretch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, chain
from typing import Literal

from pipelines.coverage import GAP, HARMLESS, NO_INPUT
from pipelines.record import ACTIONS, MODALITIES, SEVERITIES, Action, Evidence, Record, Severity, Verdict

Kind = Literal["flagged", "nothing", "partly_examined", "not_examined", "missing"]
"""`nothing`: wholly examined and clean. `missing`: no record at all between two records."""

Examined = Literal["examined", "partly", "not"]

Alike = tuple[Kind, str | None, tuple[tuple[str, str], ...]]
"""Kind, policy and what was lacking: what neighbours must share to make one stretch."""

HOLE_S = 1.0
"""Segments this far apart still follow one another: cuts of a live source fall on frames, not on seconds."""
TEXTS_KEPT = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """What one modality showed of one policy over a stretch; `texts` are the likeliest different ones first.

    `users` is the most distinct users behind one piece of evidence: the same user in two segments is
    not known to be the same here. `chain`: where the likeliest is a lexicon's term, the steps to it.
    """

    modality: str
    items: int
    probability: float
    label: str
    texts: tuple[str, ...]
    users: int
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive segments alike. `lacking` is modality -> reason, for what was not wholly examined.

    `policy` is None for every kind but `flagged`; `segments` is 0 for `missing`.
    """

    kind: Kind
    start: datetime
    end: datetime
    segments: int
    policy: str | None = None
    severity: Severity = "none"
    action: Action = "allow"
    probability: float = 0.0
    seen: tuple[Seen, ...] = ()
    lacking: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Piece:
    """One segment's part in a stretch."""

    alike: Alike
    start: datetime
    end: datetime
    verdict: Verdict | None


def timeline(records: Sequence[Record]) -> tuple[Stretch, ...]:
    """Stretches of one stream in one run, by start, strongest first; `ValueError` when records of several mix."""
    if len({(record.stream_id, record.run) for record in records}) > 1:
        raise ValueError("a timeline is of one stream in one run")
    ordered = sorted(records, key=lambda record: record.captured_at)
    stretches = [*_merged(chain.from_iterable(map(_pieces, ordered))), *_holes(ordered)]
    return tuple(sorted(stretches, key=_rank))


def is_flagged(verdict: Verdict) -> bool:
    """Whether something was found; being watched only because nobody could look is not a finding."""
    return verdict.severity != "none" or (verdict.action != "allow" and verdict.examined == "examined")


def lacking(record: Record) -> tuple[tuple[str, str], ...]:
    """Modality and reason for each that was there and not wholly examined."""
    found = []
    for modality in MODALITIES:
        coverage = record.observations.coverage.get(modality)
        if coverage is None:
            found.append((modality, "unreported"))
        elif coverage.status != "examined" and coverage.reason not in HARMLESS:
            found.append((modality, coverage.reason or coverage.status))
    return tuple(found)


def examination(record: Record) -> Examined:
    """How much was looked at; `not` when no model saw anything, be it because nothing was sent."""
    with_input = [one for one in record.observations.coverage.values() if one.reason != NO_INPUT]
    looked = [one for one in with_input if one.status != "not" or one.reason in HARMLESS]
    if not looked:
        return "not"
    return "partly" if lacking(record) else "examined"


def ends_at(record: Record) -> datetime:
    """The segment's last instant."""
    return record.captured_at + timedelta(seconds=record.duration_s)


def _pieces(record: Record) -> Iterator[_Piece]:
    start, end = record.captured_at, ends_at(record)
    flagged = [verdict for verdict in record.verdicts if is_flagged(verdict)]
    for verdict in flagged:
        yield _Piece(("flagged", verdict.policy, ()), start, end, verdict)
    looked = examination(record)
    if looked != "examined":
        reasons = lacking(record) or tuple((modality, NO_INPUT) for modality in MODALITIES)
        yield _Piece(("not_examined" if looked == "not" else "partly_examined", None, reasons), start, end, None)
    elif not flagged:
        yield _Piece(("nothing", None, ()), start, end, None)


def _merged(pieces: Iterable[_Piece]) -> Iterator[Stretch]:
    """Runs of alike pieces, each following the one before without a hole; pieces come by start."""
    open_runs: dict[Alike, list[_Piece]] = {}
    for piece in pieces:
        run = open_runs.get(piece.alike)
        if run is not None and _apart(run[-1].end, piece.start):
            yield _stretch(run)
            run = None
        if run is None:
            open_runs[piece.alike] = [piece]
        else:
            run.append(piece)
    yield from map(_stretch, open_runs.values())


def _stretch(run: Sequence[_Piece]) -> Stretch:
    kind, policy, reasons = run[0].alike
    verdicts = [piece.verdict for piece in run if piece.verdict is not None]
    return Stretch(
        kind=kind,
        start=run[0].start,
        end=max(piece.end for piece in run),
        segments=len(run),
        policy=policy,
        severity=max((one.severity for one in verdicts), key=SEVERITIES.index, default="none"),
        action=max((one.action for one in verdicts), key=ACTIONS.index, default="allow"),
        probability=max((one.probability for one in verdicts), default=0.0),
        seen=seen(chain.from_iterable(one.evidence for one in verdicts)),
        lacking=reasons,
    )


def seen(evidence: Iterable[Evidence]) -> tuple[Seen, ...]:
    """Evidence gathered by modality, the likeliest modality first."""
    grouped: dict[str, list[Evidence]] = {}
    for one in sorted(evidence, key=lambda one: -one.probability):
        grouped.setdefault(one.modality, []).append(one)
    return tuple(
        Seen(
            modality=modality,
            items=len(items),
            probability=items[0].probability,
            label=items[0].label,
            texts=tuple(dict.fromkeys(one.text for one in items if one.text))[:TEXTS_KEPT],
            users=max(one.users for one in items),
            chain=items[0].chain,
        )
        for modality, items in grouped.items()
    )


def _holes(ordered: Sequence[Record]) -> Iterator[Stretch]:
    """Time between records that no record covers."""
    reached = accumulate(map(ends_at, ordered), max)
    for end, after in zip(reached, ordered[1:], strict=False):
        if _apart(end, after.captured_at):
            yield Stretch("missing", end, after.captured_at, segments=0, lacking=(("segment", GAP),))


def _apart(end: datetime, start: datetime) -> bool:
    return start - end > timedelta(seconds=HOLE_S)


def _rank(stretch: Stretch) -> tuple[datetime, int, float, str]:
    return stretch.start, -SEVERITIES.index(stretch.severity), -stretch.probability, stretch.policy or stretch.kind
