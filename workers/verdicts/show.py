"""One stream as an operator reads it: a line for each finding, each clean segment, each thing not examined.

Turns records into lines of words; printing them is the command line's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipelines.coverage import GAP, HARMLESS, NO_INPUT, SHED
from pipelines.record import ACTIONS, LEXICON, MODALITIES, Action, Coverage, Modality, Record, Severity, Verdict
from workers.records import Progress, RecordError, read_records, record_keys
from workers.runs.applied import LIVE
from workers.storage import Storage
from workers.verdicts.current import CURRENT, current_keys
from workers.verdicts.latency import Latency, latency
from workers.verdicts.timeline import (
    Examined,
    Kind,
    Seen,
    Stretch,
    ends_at,
    examination,
    is_flagged,
    lacking,
    seen,
    timeline,
)

SNIPPET = 40
"""Characters of a text shown as evidence; the record has all of it."""
PLAIN: dict[Kind, str] = {
    "flagged": "flagged",
    "nothing": "nothing",
    "partly_examined": "partly examined",
    "not_examined": "not examined",
    "missing": "no record",
}
_KINDS: dict[Examined, Kind] = {"examined": "nothing", "partly": "partly_examined", "not": "not_examined"}
_LETTERS: dict[Modality, str] = {"frames": "F", "speech": "S", "screen": "O", "chat": "C"}


@dataclass(frozen=True, slots=True)
class Line:
    """One row. `policy` is null where the line is not about one; `coverage` is like `F5/5 S10s O2 C12`.

    `run` is the one whose record it is from; null where there is no record.
    """

    start: datetime
    end: datetime
    kind: Kind
    policy: str | None
    severity: Severity
    action: Action
    probability: float | None
    seen: str
    coverage: str
    run: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything there is to say of one stream in one run; `unreadable` records are missing from the rest.

    `run` is `current` when it is of whichever records are; `shed` counts the segments of which something was left
    out for overload. The latency is that of live records: others are made when somebody asks.
    """

    stream_id: str
    run: str
    start: datetime
    end: datetime
    segments: int
    examined: dict[Examined, int]
    shed: int
    latency_s: Latency | None
    checkpoints: tuple[str, ...]
    lines: tuple[Line, ...]
    timeline: tuple[Stretch, ...]
    unreadable: tuple[str, ...]


def show_stream(
    storage: Storage,
    stream_id: str,
    *,
    run: str = "live",
    since: datetime | None = None,
    until: datetime | None = None,
    every_policy: bool = False,
    tell: Progress | None = None,
) -> Shown | None:
    """What the store has of this stream's segments that start in [since, until); None when it has nothing.

    `run` may be `current`: then each segment's record is that of the run applied last that has one, else the live one.
    """
    if run == CURRENT:
        keys = current_keys(storage, stream_id=stream_id, since=since, until=until)
    else:
        keys = record_keys(storage, stream_id=stream_id, since=since, until=until, run=run)
    found = list(read_records(storage, keys, tell=tell))
    records = [
        one
        for one in found
        if isinstance(one, Record)
        and (since is None or one.captured_at >= since)
        and (until is None or one.captured_at < until)
    ]
    unreadable = tuple(str(one) for one in found if isinstance(one, RecordError))
    if not records:
        if unreadable:
            raise RecordError(f"{len(unreadable)} records, none readable; the first: {unreadable[0]}")
        return None
    return shown(records, run=run, unreadable=unreadable, every_policy=every_policy)


def shown(
    records: Sequence[Record], *, run: str = LIVE, unreadable: Sequence[str] = (), every_policy: bool = False
) -> Shown:
    """The whole view of at least one record of one stream and run. `every_policy` adds those that found nothing."""
    ordered = sorted(records, key=lambda record: record.captured_at)
    stretches = timeline([record.model_copy(update={"run": run}) for record in ordered])
    lines = [line for record in ordered for line in _lines(record, every_policy=every_policy)]
    lines += [_missing(stretch) for stretch in stretches if stretch.kind == "missing"]
    looked = [examination(record) for record in ordered]
    used = {
        f"{slot} {ref.id}@{ref.digest[:12]} ({ref.session})"
        for record in ordered
        for slot, ref in record.observations.checkpoints.items()
    }
    return Shown(
        stream_id=ordered[0].stream_id,
        run=run,
        start=ordered[0].captured_at,
        end=max(map(ends_at, ordered)),
        segments=len(ordered),
        examined={"examined": looked.count("examined"), "partly": looked.count("partly"), "not": looked.count("not")},
        shed=sum(any(one.reason == SHED for one in record.observations.coverage.values()) for record in ordered),
        latency_s=latency(record.processing.latency_s for record in ordered if record.run == LIVE),
        checkpoints=tuple(sorted(used)),
        lines=tuple(sorted(lines, key=lambda line: line.start)),
        timeline=stretches,
        unreadable=tuple(unreadable),
    )


def seen_in_words(found: Sequence[Seen]) -> str:
    """Evidence of each modality, for instance `chat “add me” ×12 by 5 users; frames vision.nudity/nsfw ×3`.

    Where a lexicon's term speaks loudest, `chat “jia wei xin” (pinyin → 加微信)`.
    """
    return "; ".join(map(_seen_in_words, found))


def coverage_in_words(record: Record) -> str:
    """`F5/5 S10s O2 C12`: frames, seconds of audio, frames read for text, chat lines; `S!deadline` was missed.

    `-` stands for a modality that the segment did not have.
    """
    return " ".join(_covered(modality, record.observations.coverage.get(modality)) for modality in MODALITIES)


def printable(text: str) -> str:
    """Without control characters and direction marks: streamers' text must not steer a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)


def _lines(record: Record, *, every_policy: bool) -> Iterator[Line]:
    flagged = sorted(filter(is_flagged, record.verdicts), key=lambda one: -one.probability)
    for verdict in flagged:
        yield _verdict_line(record, verdict, "flagged")
    rest = [verdict for verdict in record.verdicts if not is_flagged(verdict)]
    looked = examination(record)
    kind = _KINDS[looked]
    if every_policy:
        for verdict in rest:
            yield _verdict_line(record, verdict, kind)
    elif not flagged or looked != "examined":
        yield _rest_line(record, rest, kind)


def _verdict_line(record: Record, verdict: Verdict, kind: Kind) -> Line:
    return Line(
        start=record.captured_at,
        end=ends_at(record),
        kind=kind,
        policy=verdict.policy,
        severity=verdict.severity,
        action=verdict.action,
        probability=verdict.probability,
        seen=seen_in_words(seen(verdict.evidence)) or (verdict.because if kind == "flagged" else _why(record, kind)),
        coverage=coverage_in_words(record),
        run=record.run,
    )


def _rest_line(record: Record, rest: Sequence[Verdict], kind: Kind) -> Line:
    """One line for all policies that found nothing."""
    return Line(
        start=record.captured_at,
        end=ends_at(record),
        kind=kind,
        policy=None,
        severity="none",
        action=max((verdict.action for verdict in rest), key=ACTIONS.index, default="allow"),
        probability=None,
        seen=_why(record, kind),
        coverage=coverage_in_words(record),
        run=record.run,
    )


def _missing(stretch: Stretch) -> Line:
    return Line(stretch.start, stretch.end, "missing", None, "none", "allow", None, GAP, "", None)


def _why(record: Record, kind: Kind) -> str:
    if kind == "nothing":
        return ""
    reasons = lacking(record)
    return ", ".join(f"{modality} {reason}" for modality, reason in reasons) if reasons else NO_INPUT


def _seen_in_words(one: Seen) -> str:
    texts = " / ".join(f"“{_snippet(text)}”" for text in one.texts)
    words = [one.modality, texts or one.label]
    if one.label.startswith(f"{LEXICON}/"):
        words.append(f"({' → '.join((*one.chain, printable(one.label.removeprefix(f'{LEXICON}/'))))})")
    if one.items > 1:
        words.append(f"×{one.items}")
    if one.users > 1:
        words.append(f"by {one.users} users")
    return " ".join(words)


def _snippet(text: str) -> str:
    plain = " ".join(printable(text).split())
    return plain if len(plain) <= SNIPPET else f"{plain[: SNIPPET - 1]}…"


def _covered(modality: Modality, coverage: Coverage | None) -> str:
    letter = _LETTERS[modality]
    if coverage is None:
        return f"{letter}!unreported"
    if coverage.reason == NO_INPUT:
        return f"{letter}-"
    count = (
        f"{coverage.examined:.0f}"
        if modality in ("screen", "chat")
        else f"{coverage.examined:.0f}/{coverage.total:.0f}"
    )
    amount = f"{coverage.examined:.0f}s" if modality == "speech" else count
    if coverage.status == "examined" or coverage.reason in HARMLESS:
        return f"{letter}{amount}"
    partial = amount if coverage.status == "partly" else ""
    return f"{letter}{partial}!{coverage.reason or coverage.status}"
