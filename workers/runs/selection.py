"""Which segments a rescan is about: conditions over what their current records say, answered by the tables.

A condition in SQL is a person's. It is taken only as one expression, and asked in a query of its own whose rows
merely narrow ours, so it cannot reach beyond the conditions beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pipelines.coverage import DEADLINE, MODEL_FAILED, NO_INPUT, SHED
from pipelines.record import MODALITIES, Modality, Stage
from workers.records import Progress, RecordError, has_records, record_key
from workers.runs.applied import LIVE, applied
from workers.runs.condition import WrongSelection, check_condition
from workers.runs.store import RunError
from workers.storage import Storage
from workers.verdicts.query import Bounds, QueryError, Standing, reading, standing
from workers.verdicts.rows import TABLES
from workers.verdicts.sql import listed, quoted
from workers.verdicts.tables import TablesError, compact

TAIL_READ = 500
"""Records not yet compacted that are read one by one; more are compacted first."""
CUT_SHORT = frozenset({SHED, DEADLINE, MODEL_FAILED})
"""Reasons that another look may mend."""
Segment = tuple[str, str]
"""Stream and segment id."""
_CHECKPOINT = re.compile(r"(?:(?P<id>[A-Za-z0-9][A-Za-z0-9._-]*)@)?(?P<digest>[0-9a-f]{4,64})")


Say = Callable[[str], None]
"""Takes a line for whoever waits."""


def silent(line: str) -> None:
    del line


class NothingSelected(RunError):
    """No segment is asked for; one line that says which part of it finds nothing."""


@dataclass(frozen=True, slots=True)
class Selection:
    """All of these together; what is left out narrows nothing. `run` None: the current records.

    `where` is SQL over a verdict and its segment, `policies` those of which one was flagged; `segments` are pairs of
    stream and segment id; `checkpoint` is a digest, or `id@digest`, of either the first four letters or more.
    """

    where: str | None = None
    streams: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    policies: tuple[str, ...] = ()
    region: str | None = None
    language: str | None = None
    checkpoint: str | None = None
    segments: frozenset[Segment] | None = None
    run: str | None = None

    def asked(self) -> dict[str, str]:
        """Option -> value, for the plan and whoever reads it."""
        given = {
            "where": self.where,
            "stream": " ".join(self.streams),
            "since": self.since.isoformat() if self.since else None,
            "until": self.until.isoformat() if self.until else None,
            "policy": " ".join(self.policies),
            "region": self.region,
            "language": self.language,
            "checkpoint": self.checkpoint,
            "segments": None if self.segments is None else f"{len(self.segments)} listed",
            "run": self.run,
        }
        return {option: value for option, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class Chosen:
    """One segment of a selection, as its record describes it. `checkpoints` is slot -> digest, `key` the record's.

    `cut_short` are the stages that overload, a deadline or a failing model kept from looking at everything.
    """

    key: str
    stream_id: str
    segment_id: str
    captured_at: datetime
    checkpoints: Mapping[str, str]
    policy_digest: str
    without_input: frozenset[Modality]
    cut_short: frozenset[Stage]
    has_texts: bool
    stage_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Found:
    """The selection while it is read, by stream and time. `unreadable` records may or may not belong to it.

    Segments that were listed leave `absent` as they are found: what is in it at the end has no such record.
    """

    segments: Iterator[Chosen]
    unreadable: tuple[RecordError, ...]
    absent: set[Segment]


@contextmanager
def chosen(
    storage: Storage, selection: Selection, *, tell: Progress | None = None, say: Say = silent
) -> Iterator[Found]:
    """The selected segments, streamed while the block is open. `say` is told of what takes long.

    Raises `WrongSelection`, `NothingSelected` for a stream without records, `StorageError`, `TablesError`. That
    nothing at all was found shows only when the rows end; `why_nothing` then says why.
    """
    if selection.where is not None:
        check_condition(selection.where)
    for stream in selection.streams:
        if not has_records(storage, stream):
            raise NothingSelected(f"no records of stream {stream}")
    bounds = _bounds(storage, selection)
    at = _with_short_tail(storage, bounds, tell, say)
    try:
        with reading(storage, _query(selection), bounds=bounds, at=at, tell=tell) as answer:
            segments, absent = map(_chosen, answer.rows), set(selection.segments or ())
            listed = segments if selection.segments is None else _listed(segments, selection.segments, absent)
            yield Found(listed, answer.unreadable, absent)
    except QueryError as error:
        raise WrongSelection(f"--where: {error}" if selection.where else str(error)) from None


def why_nothing(storage: Storage, selection: Selection, unreadable: Sequence[RecordError] = ()) -> NothingSelected:
    """Says what of a selection without segments finds nothing; `unreadable` records may have been what was meant."""
    if unreadable:
        return NothingSelected(f"nothing can be selected: {len(unreadable)} records unreadable, first {unreadable[0]}")
    if selection.run is not None and not _any(storage, Selection(run=selection.run)):
        return NothingSelected(f"no records of run {selection.run}")
    if selection.checkpoint and not _any(storage, Selection(checkpoint=selection.checkpoint, run=selection.run)):
        return NothingSelected(f"no record was made with the checkpoint {selection.checkpoint}")
    asked = ", ".join(f"{option} {value}" for option, value in selection.asked().items())
    return NothingSelected(f"no segments match: {asked}" if asked else "there are no records")


def _any(storage: Storage, selection: Selection) -> bool:
    with reading(storage, f"{_query(selection)} LIMIT 1") as selected:
        return next(selected.rows, None) is not None


def _bounds(storage: Storage, selection: Selection) -> Bounds:
    """Whose records can matter. A condition in SQL may ask about other records than those it chooses: then all."""
    streams: tuple[str, ...] | None = None
    runs: frozenset[str] | None = None
    if selection.where is None:
        streams = selection.streams or None
        if selection.segments is not None:
            streams = tuple(sorted({stream for stream, _ in selection.segments}))
        runs = frozenset({selection.run} if selection.run is not None else {LIVE, *applied(storage)})
    return Bounds(selection.since, selection.until, streams, runs)


def _with_short_tail(storage: Storage, bounds: Bounds, tell: Progress | None, say: Say) -> Standing:
    """Compacts when many records would be read one by one. When another compaction is at it, they are read so."""
    at = standing(storage, bounds, most=TAIL_READ + 1)
    if len(at.tail) <= TAIL_READ:
        return at
    say(f"more than {TAIL_READ} records are not compacted yet: compacting them first, which later queries gain by")
    with suppress(TablesError):
        compact(storage, tell=tell)
    return standing(storage, bounds)


def _query(selection: Selection) -> str:
    """One row a segment, in order of stream and time."""
    segments, observations = (_source(table, selection.run) for table in ("segments", "observations"))
    reasons = ", ".join(f"{modality}_reason, {modality}_detail" for modality in MODALITIES)
    narrowing = bool(selection.where or selection.policies)
    return (
        # What is not ours in it is quoted, or was checked to be one expression.
        f"{f'WITH matching AS ({_matching(selection)}) ' if narrowing else ''}"  # noqa: S608
        "SELECT date, stream_id, segment_id, run, captured_at, checkpoints, policy_digest, stage_ms, "
        f"coalesce(has_texts, false), {reasons} FROM {segments} AS segments "
        f"LEFT JOIN (SELECT DISTINCT stream_id, segment_id, run, true AS has_texts FROM {observations} "
        "WHERE source <> 'frame') USING (stream_id, segment_id, run) "
        f"{'SEMI JOIN matching USING (stream_id, segment_id, run)' if narrowing else ''} "
        f"WHERE {_conditions(selection)} ORDER BY stream_id, captured_at, segment_id"
    )


def _source(table: str, run: str | None) -> str:
    return f"current_{table}" if run is None else f"(FROM {table} WHERE run = {quoted(run)})"


def _matching(selection: Selection) -> str:
    """Segments of which at least one verdict answers; what both tables call the same is the verdict's."""
    segments, verdicts = (_source(table, selection.run) for table in ("segments", "verdicts"))
    columns = {shape.name: list(shape.schema.names) for shape in TABLES}
    more = "".join(f', s."{name}"' for name in columns["segments"] if name not in columns["verdicts"])
    flagged = f"flagged AND {_one_of('policy', selection.policies)}"
    return (
        f"SELECT stream_id, segment_id, run FROM (SELECT v.*{more} FROM {verdicts} AS v "  # noqa: S608  # as above
        f"JOIN {segments} AS s USING (stream_id, segment_id, run)) AS verdicts "
        f"WHERE {flagged if selection.policies else 'true'} AND (\n{selection.where or 'true'}\n)"
    )


def _conditions(selection: Selection) -> str:
    parts = ["true"]
    if selection.streams:
        parts.append(_one_of("stream_id", selection.streams))
    if selection.segments is not None:
        parts.append(_one_of("stream_id", sorted({stream for stream, _ in selection.segments})))
    if selection.region is not None:
        parts.append(f"lower(region) = lower({quoted(selection.region)})")
    if selection.language is not None:
        wanted = quoted(selection.language.lower())
        parts.append(f"({wanted} IN (lower(language), split_part(lower(language), '-', 1), spoken_language))")
    if selection.checkpoint is not None:
        parts.append(f"len(list_filter(map_values(checkpoints), lambda one: {_pinned(selection.checkpoint)})) > 0")
    return " AND ".join(parts)


def _one_of(column: str, values: Sequence[str]) -> str:
    """Also of no values, which finds nothing."""
    return f"list_contains({listed(values)}::VARCHAR[], {column})"


def _pinned(checkpoint: str) -> str:
    """Whether `one`, as `id@digest`, is the checkpoint meant."""
    found = _CHECKPOINT.fullmatch(checkpoint)
    if found is None:
        raise WrongSelection(
            f"--checkpoint: {checkpoint!r} is neither a digest nor id@digest; its first four letters or more will do"
        )
    if found["id"]:
        return f"starts_with(one, {quoted(checkpoint)})"
    return f"contains(one, {quoted('@' + found['digest'])})"


def _listed(found: Iterator[Chosen], segments: frozenset[Segment], absent: set[Segment]) -> Iterator[Chosen]:
    for one in found:
        name = one.stream_id, one.segment_id
        if name in segments:
            absent.discard(name)
            yield one


def _chosen(row: tuple[Any, ...]) -> Chosen:
    day, stream_id, segment_id, run, captured_at, checkpoints, policy_digest, stage_ms, has_texts, *reasons = row
    assert isinstance(day, date)
    why = dict(zip(MODALITIES, zip(reasons[::2], reasons[1::2], strict=True), strict=True))
    return Chosen(
        key=record_key(day.isoformat(), stream_id, segment_id, run),
        stream_id=stream_id,
        segment_id=segment_id,
        captured_at=captured_at,
        checkpoints={slot: pinned.rpartition("@")[2] for slot, pinned in checkpoints.items()},
        policy_digest=policy_digest,
        without_input=frozenset(modality for modality, (reason, _) in why.items() if reason == NO_INPUT),
        cut_short=frozenset(
            _stage(modality, detail) for modality, (reason, detail) in why.items() if reason in CUT_SHORT
        ),
        has_texts=has_texts,
        stage_ms=stage_ms or {},
    )


def _stage(modality: Modality, detail: str | None) -> Stage:
    """Whose part is missing: chat is only ever scored, and of the others a text slot may be all that was."""
    return "text" if modality == "chat" or (detail or "").startswith("text.") else modality
