"""The demo's records as rows that somebody who sees them for the first time understands. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from rich.cells import cell_len, set_cell_size

from pipelines.policies import Policies
from pipelines.record import MODALITIES, Action, Coverage, Modality, Record, Severity
from workers.demo.check import above_watch
from workers.demo.clock import on_clock
from workers.verdicts.show import printable
from workers.verdicts.timeline import Kind, Seen, Stretch, lacking, timeline

UNITS: Mapping[Modality, str] = {
    "frames": "frames",
    "speech": "seconds of sound",
    "screen": "frames searched for text",
    "chat": "chat lines",
}
SNIPPET_CELLS = 28
"""Columns of a terminal; a Chinese character takes two."""
SAVINGS = {
    "near_duplicate": "like the one before",
    "silence": "silent",
    "repeated": "repeated",
    "no_letters": "without a letter",
    "invented": "words that nobody said",
    "joins": "joined readings left out",
}
"""Reasons of `Coverage.skipped` in words; others are shown as they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """A stretch of the stream. `policy` is null unless `kind` is `flagged`; `seen` has a line a modality."""

    from_s: float
    to_s: float
    kind: Kind
    policy: str | None
    title: str
    severity: Severity
    action: Action
    seen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the pool was; `work_s` is what one segment took from the worker's first touch to its record."""

    segments: int
    stream_s: float
    wall_s: float
    work_p50_s: float
    work_p95_s: float


def rows(records: Sequence[Record], policies: Policies, start: datetime) -> tuple[Row, ...]:
    """What is above watch, what is not, and what nobody examined, in order of time."""
    stretches = timeline([_above_watch(record, policies) for record in records])
    return tuple(_row(stretch, records, policies, start) for stretch in stretches)


def coverage_lines(records: Sequence[Record]) -> tuple[str, ...]:
    """How much of each modality was examined or spared, then whatever was not examined, and why."""
    totals = [_covered(modality, records) for modality in MODALITIES]
    reasons = Counter(f"{modality} {reason}" for record in records for modality, reason in lacking(record))
    missed = [f"not wholly examined: {what}, in {count} segments" for what, count in sorted(reasons.items())]
    return (*totals, *(missed or ["nothing was left unexamined"]))


def pace(records: Sequence[Record], wall_s: float) -> Pace:
    """Of at least one record; `wall_s` from the first segment queued to the last record."""
    work = sorted((one.processing.finished_at - one.processing.started_at).total_seconds() for one in records)
    return Pace(
        segments=len(records),
        stream_s=sum(record.duration_s for record in records),
        wall_s=round(wall_s, 2),
        work_p50_s=round(_percentile(work, 0.5), 2),
        work_p95_s=round(_percentile(work, 0.95), 2),
    )


def _above_watch(record: Record, policies: Policies) -> Record:
    """The record with only the verdicts that ask for a person, so that the rest reads as nothing found.

    Of their evidence stays what is worth watching by itself: the rest is noise to a newcomer.
    """
    kept = []
    for verdict in record.verdicts:
        if above_watch(verdict.action):
            watch = policies.policies[verdict.policy].thresholds.watch
            evidence = tuple(one for one in verdict.evidence if one.probability >= watch)
            kept.append(verdict.model_copy(update={"evidence": evidence}))
    return record.model_copy(update={"verdicts": tuple(kept)})


def _row(stretch: Stretch, records: Sequence[Record], policies: Policies, start: datetime) -> Row:
    if stretch.policy is not None:
        title = policies.policies[stretch.policy].title
        seen = tuple(map(_seen_in_words, stretch.seen)) or ("held over from the segments before",)
    else:
        title, seen = "", _said_of(stretch, records)
    return Row(
        from_s=round(on_clock(stretch.start, start), 2),
        to_s=round(on_clock(stretch.end, start), 2),
        kind=stretch.kind,
        policy=stretch.policy,
        title=title,
        severity=stretch.severity,
        action=stretch.action,
        seen=seen,
    )


def _seen_in_words(seen: Seen) -> str:
    """`chat: “加微信 vx8888…” ×16`: the likeliest text, or the label where there is none, and how many items."""
    what = f"“{_snippet(seen.texts[0])}”" if seen.texts else seen.label
    return f"{seen.modality}: {what}" + (f" ×{seen.items}" if seen.items > 1 else "")


def _snippet(text: str) -> str:
    plain = " ".join(printable(text).split())
    return plain if cell_len(plain) <= SNIPPET_CELLS else f"{set_cell_size(plain, SNIPPET_CELLS - 1).rstrip()}…"


def _said_of(stretch: Stretch, records: Sequence[Record]) -> tuple[str, ...]:
    if stretch.kind == "missing":
        return ("no record",)
    if stretch.kind != "nothing":
        reasons = ", ".join(f"{modality} {reason}" for modality, reason in stretch.lacking)
        return (f"{stretch.kind.replace('_', ' ')}: {reasons}",)
    watched = sorted(
        {
            verdict.policy
            for record in records
            if stretch.start <= record.captured_at < stretch.end
            for verdict in record.verdicts
            if verdict.action == "watch"
        }
    )
    return (f"nothing above watch (watched: {', '.join(watched)})" if watched else "nothing above watch",)


def _covered(modality: Modality, records: Sequence[Record]) -> str:
    found = [record.observations.coverage.get(modality, Coverage(status="not")) for record in records]
    skipped: Counter[str] = Counter()
    for one in found:
        skipped.update({reason: amount for reason, amount in one.skipped.items() if amount})
    examined, total = sum(one.examined for one in found), sum(one.total for one in found)
    spared = ", ".join(f"{amount:.0f} {SAVINGS.get(reason, reason)}" for reason, amount in skipped.items())
    return f"{examined:.0f} of {total:.0f} {UNITS[modality]}{f' ({spared})' if spared else ''}"


def _percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them does not exceed."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
