"""Compaction: records gathered into Parquet parts that any tool can read, each record in exactly one.

A batch is written before its parts: it names the records, so a compaction that dies between the two is
finished by the next one from the same list, and nothing is counted twice. Batches of a day are numbered
and each number is taken once, so two compactions at the same time cannot share a record.

    tables/batches/date=2026-03-10/000001.json
    tables/verdicts/date=2026-03-10/part-3f0c….parquet      (likewise segments/ and observations/)
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import groupby, islice
from typing import Literal

import pyarrow
import pyarrow.parquet as parquet
from pydantic import Field, ValidationError

from pipelines.manifest import one_line
from pipelines.record import Record
from pipelines.strict import Strict
from workers.records import (
    Place,
    Progress,
    RecordError,
    day_of,
    key_of,
    place_of,
    read_records,
    record_keys,
    touches,
)
from workers.storage import Storage
from workers.verdicts.rows import TABLES, VERSION, TableName, Version

TABLES_PREFIX = "tables/"
BATCHES_PREFIX = "tables/batches/"
BATCH_RECORDS = 2000
"""Records of one batch: what is held in memory at once."""
RowKey = tuple[str, str, str]
"""Stream, segment and run."""
_BATCH = re.compile(rf"{BATCHES_PREFIX}date=(?P<date>[^/]+)/[^/]+\.json")


class TablesError(Exception):
    """The tables cannot be read or written as they stand; one line."""


class Batch(Strict):
    """The records of one set of parts, in order; written once. `version` is that of the parts' columns."""

    schema_id: Literal["liverisk.batch"] = Field(default="liverisk.batch", alias="schema")
    version: Version = VERSION
    date: str
    number: int = Field(ge=1, description="this batch's turn among those of its day")
    records: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where the batch itself lies."""
        return f"{BATCHES_PREFIX}date={self.date}/{self.number:06d}.json"

    @property
    def name(self) -> str:
        """The parts' name, drawn from what they hold."""
        return hashlib.sha256("\n".join(self.records).encode()).hexdigest()[:16]

    def part(self, table: TableName) -> str:
        """Where this batch's rows of a table lie."""
        return f"{TABLES_PREFIX}{table}/date={self.date}/part-{self.name}.parquet"


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did, and the records it could not read and left where they are."""

    parts: int
    records: int
    unreadable: tuple[RecordError, ...]


@dataclass(frozen=True, slots=True)
class Tables:
    """The batches in the store: those whose parts are all there, and those a compaction left unfinished."""

    finished: tuple[Batch, ...]
    unfinished: tuple[Batch, ...]

    @property
    def compacted(self) -> frozenset[str]:
        """Keys of the records that the parts hold."""
        return frozenset(key for batch in self.finished for key in batch.records)

    def parts(self, table: TableName, version: Version | None = None) -> tuple[str, ...]:
        """Keys of the parts of one table, of all versions or of one."""
        return tuple(batch.part(table) for batch in self.finished if version in (None, batch.version))


def read_tables(storage: Storage, *, since: datetime | None = None, until: datetime | None = None) -> Tables:
    """What has been compacted so far of the UTC days that touch [since, until)."""
    written = {key for shape in TABLES for key in storage.keys(f"{TABLES_PREFIX}{shape.name}/")}
    finished: list[Batch] = []
    unfinished: list[Batch] = []
    for key in storage.keys(BATCHES_PREFIX):
        found = _BATCH.fullmatch(key)
        if found is not None and not touches(found["date"], since, until):
            continue
        batch = _read_batch(storage, key)
        whole = written.issuperset(batch.part(shape.name) for shape in TABLES)
        (finished if whole else unfinished).append(batch)
    return Tables(tuple(finished), tuple(unfinished))


def compact(storage: Storage, *, until: datetime | None = None, tell: Progress | None = None) -> Compaction:
    """Gathers every record not yet in a part whose segment starts before `until`; does nothing twice.

    Raises `TablesError` when another compaction takes the same turn: what it did is whole, run it again.
    """
    tables = read_tables(storage)
    turns: Counter[str] = Counter()
    for batch in (*tables.finished, *tables.unfinished):
        turns[batch.date] = max(turns[batch.date], batch.number)
    done: list[tuple[Batch, int]] = []
    unreadable: list[RecordError] = []
    for batch in tables.unfinished:
        records, damaged = _split(read_records(storage, batch.records))
        _write_parts(storage, batch, records)
        done.append((batch, len(records)))
        unreadable += damaged
    planned = tables.compacted.union(*(batch.records for batch in tables.unfinished))
    for keys in _by_day(key for key in record_keys(storage, until=until) if key not in planned):
        records, damaged = _split(read_records(storage, keys))
        unreadable += damaged
        due = [record for record in records if until is None or record.captured_at < until]
        if due:
            turns[day_of(keys[0])] += 1
            batch = _claim(storage, due, turns[day_of(keys[0])])
            _write_parts(storage, batch, due)
            done.append((batch, len(due)))
        if tell is not None:
            tell(sum(count for _, count in done))
    return Compaction(len(done) * len(TABLES), sum(count for _, count in done), tuple(unreadable))


def _read_batch(storage: Storage, key: str) -> Batch:
    try:
        return Batch.model_validate_json(storage.get(key))
    except ValidationError as error:
        raise TablesError(f"{key}: not a readable batch ({one_line(error)})") from None


def _by_day(keys: Iterable[str]) -> Iterator[list[str]]:
    """Keys of one day at a time, at most a batch of them."""
    for _, of_day in groupby(keys, key=day_of):
        while chunk := list(islice(of_day, BATCH_RECORDS)):
            yield chunk


def _split(found: Iterable[Record | RecordError]) -> tuple[list[Record], list[RecordError]]:
    records: list[Record] = []
    damaged: list[RecordError] = []
    for one in found:
        if isinstance(one, RecordError):
            damaged.append(one)
        else:
            records.append(one)
    return records, damaged


def _claim(storage: Storage, records: Sequence[Record], number: int) -> Batch:
    """Takes a turn of the day for these records; the turn follows from what was there when they were chosen."""
    keys = tuple(key_of(record) for record in records)
    batch = Batch(schema="liverisk.batch", date=day_of(keys[0]), number=number, records=keys)
    if not storage.put_once(batch.key, batch.model_dump_json(by_alias=True).encode(), content_type="application/json"):
        raise TablesError("another compaction is running; run this one again when it is done")
    return batch


def _write_parts(storage: Storage, batch: Batch, records: Sequence[Record]) -> None:
    for shape in TABLES:
        rows = shape.table(records).select([name for name in shape.columns(batch.version) if name != "date"])
        _put_part(storage, batch.part(shape.name), rows)


def _put_part(storage: Storage, key: str, rows: pyarrow.Table) -> None:
    body = BytesIO()
    parquet.write_table(rows, body, compression="zstd")
    storage.put(key, body.getvalue(), content_type="application/vnd.apache.parquet")


def replace_rows(
    storage: Storage, drop: Callable[[RowKey], bool], records: Iterable[Record], *, dry_run: bool = False
) -> int:
    """Takes the rows of such records out of every part, and puts those of `records` in their place; parts changed.

    All other rows stay as they are, also those whose record is gone. Safe to repeat.
    """
    anew = {key_of(record): record for record in records}
    tables = read_tables(storage)
    changed = 0
    for batch in (*tables.finished, *tables.unfinished):
        dropped = {key for key in batch.records if (place := place_of(key)) and drop(_row_key(place))}
        if not dropped:
            continue
        changed += len(TABLES)
        if not dry_run:
            kept = tuple(key for key in batch.records if key not in dropped or key in anew)
            fresh = [anew[key] for key in kept if key in dropped]
            _rewrite(storage, batch, batch.model_copy(update={"records": kept}), drop, fresh)
    return changed


def _rewrite(
    storage: Storage, batch: Batch, after: Batch, drop: Callable[[RowKey], bool], fresh: Sequence[Record]
) -> None:
    """The new parts first, then the old ones, then the batch: what dies in between is finished by doing it again."""
    for shape in TABLES:
        old, new = batch.part(shape.name), after.part(shape.name)
        if not storage.exists(old):
            continue
        part = parquet.read_table(BytesIO(storage.get(old)))
        keys = zip(*(part.column(name).to_pylist() for name in ("stream_id", "segment_id", "run")), strict=True)
        rows = part.filter([not drop(key) for key in keys])
        if fresh:
            rows = pyarrow.concat_tables([rows, shape.table(fresh).select(rows.column_names).cast(rows.schema)])
        if after.records:
            _put_part(storage, new, rows)
        if old != new or not after.records:
            storage.delete(old)
    if after.records:
        storage.put(after.key, after.model_dump_json(by_alias=True).encode(), content_type="application/json")
    else:
        storage.delete(batch.key)


def _row_key(place: Place) -> RowKey:
    return place.stream_id, place.segment_id, place.run
