"""Records as rows of three tables. One builder for compacted parts and for the tail not yet compacted,
so that a query answers the same before and after compacting.

Columns are explained in docs/reading-verdicts.md. `date` is a column here and a folder in the store.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final, Literal, get_args

import pyarrow as pa

from pipelines.items import CheckpointRef
from pipelines.record import ACTIONS, MODALITIES, SEVERITIES, Coverage, Evidence, Record, TextObservation, Verdict
from workers.verdicts.timeline import examination, is_flagged, lacking

TableName = Literal["verdicts", "segments", "observations"]
Row = dict[str, Any]
"""Values by column, on their way into Arrow, which holds them against the table's schema."""

_MOMENT = pa.timestamp("us", tz="UTC")
_STRINGS = pa.list_(pa.string())
_TEXT_MAP = pa.map_(pa.string(), pa.string())
_NUMBER_MAP = pa.map_(pa.string(), pa.float64())
_SEGMENT = [
    ("date", pa.date32()),
    ("stream_id", pa.string()),
    ("segment_id", pa.string()),
    ("run", pa.string()),
    ("captured_at", _MOMENT),
    ("duration_s", pa.float64()),
    ("language", pa.string()),
    ("region", pa.string()),
    ("viewers", pa.int64()),
    ("policy_digest", pa.string()),
    ("checkpoints", _TEXT_MAP),
]
"""What every row of every table says of its segment."""
_EVIDENCE = [
    ("modality", pa.string()),
    ("label", pa.string()),
    ("probability", pa.float64()),
    ("at_s", pa.float64()),
    ("text", pa.string()),
    ("frame", pa.int32()),
    ("users", pa.int32()),
]
_VERDICT = [
    ("policy", pa.string()),
    ("probability", pa.float64()),
    ("instant", pa.float64()),
    ("severity", pa.string()),
    ("severity_rank", pa.int32()),
    ("action", pa.string()),
    ("action_rank", pa.int32()),
    ("flagged", pa.bool_()),
    ("examined", pa.string()),
    ("missing", _TEXT_MAP),
    ("modalities", _STRINGS),
    ("top_evidence", pa.struct(_EVIDENCE)),
    ("contributions", _NUMBER_MAP),
    ("without", _TEXT_MAP),
    ("conflict", pa.string()),
    ("because", pa.string()),
]
_COVERAGE = [
    ("status", pa.string()),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("examined", pa.float64()),
    ("total", pa.float64()),
    ("skipped", _NUMBER_MAP),
]
_SUMMARY = [
    ("profile", pa.string()),
    ("tier", pa.string()),
    ("gap_s", pa.float64()),
    ("severity", pa.string()),
    ("severity_rank", pa.int32()),
    ("action", pa.string()),
    ("flagged", _STRINGS),
    ("examined", pa.string()),
    ("lacking", _TEXT_MAP),
    ("spoken_language", pa.string()),
    ("speech_s", pa.float64()),
    ("latency_s", pa.float64()),
    ("worker", pa.string()),
    ("attempt", pa.int32()),
    ("finished_at", _MOMENT),
    ("stage_ms", _NUMBER_MAP),
    ("settings", pa.string()),
    ("derived_from", pa.string()),
    ("reran", _STRINGS),
]
_OBSERVATION = [
    ("source", pa.string()),
    ("at_s", pa.float64()),
    ("seen_at", _MOMENT),
    ("end_s", pa.float64()),
    ("text", pa.string()),
    ("normalised", pa.string()),
    ("text_language", pa.string()),
    ("confidence", pa.float64()),
    ("users", pa.int32()),
    ("repeats", pa.int32()),
    ("scores", _NUMBER_MAP),
    ("reused_from_s", pa.float64()),
    ("thumbnail_hash", pa.string()),
    ("error", pa.string()),
]
Version = Literal[1, 2]
"""Of a part's columns. Version 2 says of a segment what its record was derived from."""
VERSIONS: Final[tuple[Version, ...]] = get_args(Version)
VERSION: Final[Version] = 2
_SINCE: Final[Mapping[str, Version]] = {"derived_from": 2, "reran": 2}
"""Columns that parts of earlier versions lack."""


@dataclass(frozen=True, slots=True)
class TableShape:
    """One table: its columns, and the rows one record gives it."""

    name: TableName
    schema: pa.Schema
    rows: Callable[[Record], Iterator[Row]]

    def table(self, records: Iterable[Record]) -> pa.Table:
        """All rows of these records, in their order."""
        rows = [row for record in records for row in self.rows(record)]
        return pa.Table.from_pylist(rows, schema=self.schema)

    def columns(self, version: Version = VERSION) -> tuple[str, ...]:
        """The columns that parts of this version have, `date` among them."""
        return tuple(name for name in self.schema.names if _SINCE.get(name, 1) <= version)


def _verdict_rows(record: Record) -> Iterator[Row]:
    segment = _segment(record)
    for verdict in record.verdicts:
        yield {**segment, **_verdict(verdict)}


def _segment_rows(record: Record) -> Iterator[Row]:
    coverage = {
        f"{modality}_{name}": value
        for modality in MODALITIES
        for name, value in _coverage(record.observations.coverage.get(modality)).items()
    }
    yield {**_segment(record), **_summary(record), **coverage}


def _observation_rows(record: Record) -> Iterator[Row]:
    segment = _segment(record)
    for frame in record.observations.frames:
        yield {
            **segment,
            "source": "frame",
            "seen_at": record.captured_at + timedelta(seconds=frame.at_s),
            "scores": _scores(frame.scores),
            **frame.model_dump(include={"at_s", "reused_from_s", "thumbnail_hash", "error"}),
        }
    for text in record.observations.texts:
        yield {**segment, "seen_at": record.captured_at + timedelta(seconds=text.at_s), **_text(text)}


def _segment(record: Record) -> Row:
    return {
        "date": record.captured_at.astimezone(UTC).date(),
        "checkpoints": sorted((slot, _pinned(ref)) for slot, ref in record.observations.checkpoints.items()),
        **record.model_dump(include={"stream_id", "segment_id", "run", "captured_at", "duration_s", "policy_digest"}),
        **record.context.model_dump(include={"language", "region", "viewers"}),
    }


def _pinned(checkpoint: CheckpointRef) -> str:
    return f"{checkpoint.id}@{checkpoint.digest}"


def _verdict(verdict: Verdict) -> Row:
    strongest = max(verdict.evidence, key=lambda one: one.probability, default=None)
    return {
        **verdict.model_dump(
            include={"policy", "probability", "instant", "severity", "action", "examined", "conflict", "because"}
        ),
        "severity_rank": SEVERITIES.index(verdict.severity),
        "action_rank": ACTIONS.index(verdict.action),
        "flagged": is_flagged(verdict),
        "missing": sorted(verdict.missing.items()),
        "modalities": list(dict.fromkeys(one.modality for one in verdict.evidence)),
        "top_evidence": _evidence(strongest),
        "contributions": [(one.modality, one.log_odds) for one in verdict.contributions],
        "without": sorted(verdict.without.items()),
    }


def _evidence(evidence: Evidence | None) -> Row | None:
    return evidence.model_dump(include={name for name, _ in _EVIDENCE}) if evidence else None


def _coverage(coverage: Coverage | None) -> Row:
    """Null throughout when the record does not mention the modality."""
    if coverage is None:
        return {name: None for name, _ in _COVERAGE}
    return {**coverage.model_dump(exclude={"received"}), "skipped": sorted(coverage.skipped.items())}


def _summary(record: Record) -> Row:
    speech, done = record.observations.speech, record.processing
    return {
        "profile": record.profile,
        "tier": record.sampler.tier if record.sampler else None,
        "gap_s": sum((gap.to_s - gap.from_s for gap in record.gaps), 0.0),
        "severity": max((one.severity for one in record.verdicts), key=SEVERITIES.index, default="none"),
        "severity_rank": max((SEVERITIES.index(one.severity) for one in record.verdicts), default=0),
        "action": max((one.action for one in record.verdicts), key=ACTIONS.index, default="allow"),
        "flagged": [one.policy for one in record.verdicts if is_flagged(one)],
        "examined": examination(record),
        "lacking": list(lacking(record)),
        "spoken_language": speech.language if speech else None,
        "speech_s": speech.speech_s if speech else None,
        **done.model_dump(include={"latency_s", "worker", "attempt", "finished_at"}),
        "stage_ms": sorted(done.stage_ms.items()),
        "settings": json.dumps(record.settings, sort_keys=True),
        "derived_from": record.derived_from,
        "reran": list(record.reran),
    }


def _text(text: TextObservation) -> Row:
    return {
        **text.model_dump(include={"source", "at_s", "end_s", "text", "normalised", "confidence", "repeats", "error"}),
        "text_language": text.language,
        "users": len(text.users),
        "scores": _scores(text.scores),
    }


def _scores(scores: Mapping[str, Mapping[str, float]]) -> list[tuple[str, float]]:
    return sorted((f"{slot}/{label}", score) for slot, labels in scores.items() for label, score in labels.items())


def _with_coverage(modalities: Iterable[str]) -> list[tuple[str, pa.DataType]]:
    return [(f"{modality}_{name}", kind) for modality in modalities for name, kind in _COVERAGE]


TABLES: Final = (
    TableShape("verdicts", pa.schema([*_SEGMENT, *_VERDICT]), _verdict_rows),
    TableShape("segments", pa.schema([*_SEGMENT, *_SUMMARY, *_with_coverage(MODALITIES)]), _segment_rows),
    TableShape("observations", pa.schema([*_SEGMENT, *_OBSERVATION]), _observation_rows),
)
