"""Records in the store: where each one lies, written once, read back checked, listed by day and stream.

The key alone says date, stream, segment and run, so listing needs no reading. Nothing here changes or
removes a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice

from pydantic import ValidationError

from pipelines.manifest import SegmentManifest, one_line
from pipelines.record import Record
from workers.storage import ObjectMissing, Storage

PREFIX = "records/"
READERS = 8
Progress = Callable[[int], None]
"""Is told now and then how many records have been read."""
READ_AHEAD = 256
_KEY = re.compile(r"records/date=(?P<date>[^/]+)/stream=(?P<stream>[^/]+)/(?P<segment>[^/]+)/(?P<run>[^/]+)\.json")
_CLOCK_ID = re.compile(r"\d{8}T\d{6}\.\d{3}Z")


class RecordError(Exception):
    """A stored record cannot be read as one; one line with its key and the field, never its content."""


def record_key(date: str, stream_id: str, segment_id: str, run: str) -> str:
    """Where the record of this segment in this run lies; `date` is the UTC day of capture, `YYYY-MM-DD`."""
    return f"{PREFIX}date={date}/stream={stream_id}/{segment_id}/{run}.json"


def record_key_of(manifest: SegmentManifest) -> str:
    """Where the record of the segment that this manifest stands for lies."""
    return record_key(manifest.date, manifest.stream_id, manifest.segment_id, manifest.run)


def key_of(record: Record) -> str:
    """Where this record lies."""
    return record_key(_day(record.captured_at), record.stream_id, record.segment_id, record.run)


@dataclass(frozen=True, slots=True)
class Place:
    """What a record's key says of it."""

    day: str
    stream_id: str
    segment_id: str
    run: str


def place_of(key: str) -> Place | None:
    """The place that the key names; None when it is no record's key."""
    found = _KEY.fullmatch(key)
    return Place(found["date"], found["stream"], found["segment"], found["run"]) if found else None


def day_of(key: str) -> str:
    """The UTC day of capture that a record's key says, `YYYY-MM-DD`."""
    return key.removeprefix(f"{PREFIX}date=").partition("/")[0]


def touches(day: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether segments of this UTC day, `YYYY-MM-DD`, can start in [since, until)."""
    return (since is None or _day(since) <= day) and (until is None or day <= _day(until))


def write_record(storage: Storage, record: Record) -> bool:
    """Stores the record once; False when another attempt's record is there, which then stays as it is."""
    return storage.put_once(key_of(record), canonical(record), content_type="application/json")


def canonical(record: Record) -> bytes:
    """The record's bytes: UTF-8 JSON, keys sorted, absent fields left out; equal records have equal bytes."""
    tree = record.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def read_record(storage: Storage, key: str) -> Record:
    """The checked record. Raises `ObjectMissing` when there is none, `RecordError` when it is damaged."""
    return parse_record(key, storage.get(key))


def parse_record(key: str, raw: bytes) -> Record:
    """The checked record out of the bytes found under `key`; `RecordError` names the key and the field."""
    try:
        record = Record.model_validate_json(raw)
    except ValidationError as error:
        raise RecordError(f"{key}: not a readable record ({one_line(error)})") from None
    if key_of(record) != key:
        raise RecordError(f"{key}: holds the record of another segment, {key_of(record)}")
    return record


def read_records(
    storage: Storage, keys: Iterable[str], *, tell: Progress | None = None
) -> Iterator[Record | RecordError]:
    """Each key's record, in order, or what is wrong with it; several are fetched at a time.

    A record that is gone counts as damaged. The store failing as a whole raises `StorageError`.
    """
    remaining, done = iter(keys), 0
    with ThreadPoolExecutor(READERS) as pool:
        while chunk := list(islice(remaining, READ_AHEAD)):
            yield from pool.map(partial(_read_or_error, storage), chunk)
            done += len(chunk)
            if tell is not None:
                tell(done)


def _read_or_error(storage: Storage, key: str) -> Record | RecordError:
    try:
        return read_record(storage, key)
    except RecordError as error:
        return error
    except ObjectMissing:
        return RecordError(f"{key}: gone")


def record_keys(
    storage: Storage,
    *,
    stream_id: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    run: str | None = None,
) -> Iterator[str]:
    """Keys of the records of segments that start in [since, until), by day, then stream, then segment, then run.

    That is time order within a stream whose segment ids are the sampler's. Ids of any other form do not
    tell their time: of those the whole days come, and whoever needs the bounds exactly checks `captured_at`.
    """
    for day in _days(storage, since, until):
        prefix = f"{day}stream={stream_id}/" if stream_id else day
        for key in storage.keys(prefix):
            found = _KEY.fullmatch(key)
            if found is None or (run is not None and found["run"] != run):
                continue
            if may_start_within(found["segment"], since, until):
                yield key


def has_records(storage: Storage, stream_id: str) -> bool:
    """Whether the stream has any, of whichever run."""
    return any(storage.holds(f"{day}stream={stream_id}/") for day in _days(storage, None, None))


def _days(storage: Storage, since: datetime | None, until: datetime | None) -> Iterator[str]:
    """Prefixes of the UTC days that hold records and touch the bounds."""
    yield from (day for day in storage.folders(f"{PREFIX}date=") if touches(day_of(day), since, until))


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def may_start_within(segment_id: str, since: datetime | None, until: datetime | None) -> bool:
    """Whether the segment's id leaves it possible; ids cut to the millisecond start up to 1 ms later."""
    if not tells_its_time(segment_id):
        return True
    try:
        start = datetime.strptime(segment_id, "%Y%m%dT%H%M%S.%f%z")
    except ValueError:
        return True
    late_enough = since is None or start + timedelta(milliseconds=1) > since
    return late_enough and (until is None or start < until)


def tells_its_time(segment_id: str) -> bool:
    """Whether the segment was named by the sampler, after the moment it starts."""
    return _CLOCK_ID.fullmatch(segment_id) is not None
