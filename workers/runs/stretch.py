"""A stretch of one stream as planning a review sees it: its segments, what each holds, and whether they join up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from pipelines.record import STAGES, Record, Stage
from workers.records import RecordError, read_records
from workers.runs.run import Item
from workers.runs.store import RunError
from workers.storage import Storage
from workers.verdicts.current import current_keys
from workers.verdicts.timeline import HOLE_S, ends_at

LONGEST_SEGMENT = timedelta(seconds=120)
"""How far outside of the stretch a neighbour of its first or last segment can start."""
HOLE = timedelta(seconds=HOLE_S)


@dataclass(frozen=True, slots=True)
class Part:
    """What planning keeps of a record."""

    key: str
    start: datetime
    end: datetime
    audio: str | None = None
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True, slots=True)
class Stretch:
    """The segments that start in [since, until), and their neighbours, in the order of time."""

    parts: tuple[Part, ...]
    since: datetime | None
    until: datetime | None

    @property
    def has_hole(self) -> bool:
        """Whether time within the bounds lies between two records."""
        return any(
            (self.since is None or after.start > self.since) and (self.until is None or before.end < self.until)
            for before, after in pairwise(self.parts)
            if after.start - before.end > HOLE
        )

    def items(self) -> list[Item]:
        """One for each segment within the bounds, with the audio of the neighbours it touches."""
        return list(self._items())

    def _items(self) -> Iterator[Item]:
        for index, part in enumerate(self.parts):
            if (self.since and part.start < self.since) or (self.until and part.start >= self.until):
                continue
            before = self.parts[index - 1] if index and _touch(self.parts[index - 1], part) else None
            after = self.parts[index + 1] if index + 1 < len(self.parts) else None
            yield Item(
                source=part.key,
                stages=part.stages,
                audio_before=before.audio if before and part.audio else None,
                audio_after=after.audio if after and part.audio and _touch(part, after) else None,
            )


def read_stretch(storage: Storage, stream_id: str, since: datetime | None, until: datetime | None) -> Stretch:
    """What the store has of the stream there, of each segment its current record.

    Raises `RunError` when it has records and none can be read.
    """
    keys = list(
        current_keys(
            storage,
            stream_id=stream_id,
            since=since - LONGEST_SEGMENT if since else None,
            until=until + LONGEST_SEGMENT if until else None,
        )
    )
    parts = _parts(storage, keys)
    if keys and not parts:
        raise RunError(f"stream {stream_id}: {len(keys)} records, none readable")
    return Stretch(tuple(sorted(parts, key=lambda part: part.start)), since, until)


def _parts(storage: Storage, keys: Sequence[str]) -> list[Part]:
    """A record that cannot be read takes its neighbour's time and has no stages: concluding the run names it."""
    parts: list[Part] = []
    unreadable: list[str] = []
    for key, record in zip(keys, read_records(storage, keys), strict=True):
        if isinstance(record, RecordError):
            unreadable.append(key)
            continue
        parts += (Part(lost, record.captured_at, record.captured_at) for lost in unreadable)
        parts.append(Part(key, record.captured_at, ends_at(record), record.audio_key, stages_with_input(record)))
        unreadable.clear()
    if parts:
        last = parts[-1]
        parts += (Part(lost, last.end, last.end) for lost in unreadable)
    return parts


def stages_with_input(record: Record) -> tuple[Stage, ...]:
    """The stages that have something to look at. Chat is what the record kept of it."""
    there: dict[Stage, bool] = {
        "frames": bool(record.media),
        "speech": record.audio_key is not None,
        "screen": bool(record.media),
        "text": bool(record.observations.texts),
    }
    return tuple(stage for stage in STAGES if there[stage])


def _touch(before: Part, after: Part) -> bool:
    return abs(after.start - before.end) <= HOLE
