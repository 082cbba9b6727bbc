"""SQL over everything concluded: compacted parts plus the records not yet compacted, read only.

DuckDB runs in this process. Its connection may read the parts of the tables and nothing else, and that
cannot be unlocked from within a query; only one SELECT statement is taken, so nothing can be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pyarrow as pa

from pipelines.record import Record
from workers.records import Progress, RecordError, read_records, record_keys
from workers.runs.applied import applied
from workers.storage import Storage, StorageError
from workers.verdicts.current import current_views, run_of
from workers.verdicts.rows import TABLES, VERSIONS, TableShape
from workers.verdicts.sql import listed, quoted
from workers.verdicts.tables import Tables, read_tables

ROWS_AT_ONCE = 1000
HTTPFS = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
"""DuckDB's S3 client from its wheel: nothing is downloaded while answering."""


class QueryError(ValueError):
    """The SQL cannot be answered as it is written; one line."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Only segments that start in [since, until); of other days nothing is read.

    `streams` and `runs` say whose records the SQL can tell apart, None all: of others, those without a part are not
    looked for. They are no conditions; the SQL has its own.
    """

    since: datetime | None = None
    until: datetime | None = None
    streams: tuple[str, ...] | None = None
    runs: frozenset[str] | None = None

    @property
    def condition(self) -> str:
        """The bounds in SQL, over a table with `captured_at`."""
        parts = [
            f"captured_at {sign} {quoted(moment.astimezone(UTC).isoformat())}::TIMESTAMPTZ"
            for sign, moment in ((">=", self.since), ("<", self.until))
            if moment is not None
        ]
        return " AND ".join(parts) or "true"


EVER = Bounds()


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows of plain values; `more` when the limit cut them. `unreadable` records are missing from the answer."""

    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    more: bool
    tail: int
    unreadable: tuple[RecordError, ...]


@dataclass(frozen=True, slots=True)
class Standing:
    """What the tables hold at one moment, and the keys of the records within some bounds that they lack."""

    tables: Tables
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tail:
    """The records that no part holds yet."""

    records: tuple[Record, ...]
    unreadable: tuple[RecordError, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer still being read: `rows` holds as little as DuckDB can, a thousand or what a sort needs."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[object, ...]]
    tail: int
    unreadable: tuple[RecordError, ...]


def answer(
    storage: Storage, sql: str, *, bounds: Bounds = EVER, limit: int | None = None, tell: Progress | None = None
) -> Answer:
    """What the SQL says of the tables within the bounds; at most `limit` rows. Raises as `reading` does."""
    with reading(storage, sql, bounds=bounds, tell=tell) as found:
        rows = tuple(islice(found.rows, None if limit is None else limit + 1))
    more = limit is not None and len(rows) > limit
    return Answer(found.columns, rows[:limit], more, found.tail, found.unreadable)


@contextmanager
def reading(
    storage: Storage, sql: str, *, bounds: Bounds = EVER, at: Standing | None = None, tell: Progress | None = None
) -> Iterator[Rows]:
    """What the SQL says of `verdicts`, `segments`, `observations` and the `current_` view of each, row after row.

    For answers too long to hold: rows are made while they are taken, within the `with`. The records that no part
    holds yet are all in memory meanwhile; whoever may not afford that compacts first. The SQL is held to one
    SELECT that reads these tables only, wherever its conditions come from. `at` spares finding out again what the
    store holds within the bounds. `QueryError` for SQL that is wrong or wants more than reading, `StorageError` when
    the store fails; both also while rows are taken.
    """
    with _connection() as connection:
        statement = _checked(connection, sql)
    in_force = applied(storage)
    at = at or standing(storage, bounds)
    tail = _read_tail(storage, at.tail, tell)
    with _connection() as connection, _told():
        _open_parts(connection, storage, at.tables)
        _create_views(connection, storage, at.tables, tail, bounds)
        _lock(connection, in_force)
        reader = connection.execute(statement).to_arrow_reader(ROWS_AT_ONCE)
        yield Rows(tuple(reader.schema.names), _rows(reader), len(tail.records), tail.unreadable)


@contextmanager
def _told() -> Iterator[None]:
    """DuckDB's errors as ours."""
    try:
        yield
    except duckdb.IOException as error:
        raise StorageError(f"reading the tables: {_one_line(error)}") from None
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from None


def standing(storage: Storage, bounds: Bounds = EVER, *, most: int | None = None) -> Standing:
    """As the store is now, as far as keys tell of the bounds, with at most `most` of the records without a part."""
    tables = read_tables(storage, since=bounds.since, until=bounds.until)
    compacted = tables.compacted
    streams: Sequence[str | None] = (None,) if bounds.streams is None else bounds.streams
    keys = (
        key
        for stream_id in streams
        for key in record_keys(storage, stream_id=stream_id, since=bounds.since, until=bounds.until)
        if key not in compacted and (bounds.runs is None or run_of(key) in bounds.runs)
    )
    return Standing(tables, tuple(islice(keys, most)))


def _read_tail(storage: Storage, keys: Sequence[str], tell: Progress | None) -> Tail:
    found = list(read_records(storage, keys, tell=tell))
    return Tail(
        records=tuple(one for one in found if not isinstance(one, RecordError)),
        unreadable=tuple(one for one in found if isinstance(one, RecordError)),
    )


@contextmanager
def _connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty database in memory that loads nothing by itself and never spills to disk."""
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,
            "temp_directory": "",
        }
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def _checked(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    """The one SELECT that the SQL is, bound against empty tables: mistakes are told before anything is read."""
    try:
        statements = connection.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise QueryError("give one SELECT statement; results can be read, not changed")
        connection.execute("SET enable_external_access = false")
        for shape in TABLES:
            connection.register(shape.name, shape.table([]))
        _lock(connection, ())
        connection.execute(f"EXPLAIN {sql}")
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from None
    return statements[0]


def _open_parts(connection: duckdb.DuckDBPyConnection, storage: Storage, tables: Tables) -> None:
    """Lets the connection reach the parts, by name, and shuts every other file and address."""
    if tables.finished:
        connection.execute(f"LOAD {quoted(str(HTTPFS))}")
        connection.execute(_secret(storage))
    urls = [_url(storage, key) for shape in TABLES for key in tables.parts(shape.name)]
    connection.execute(f"SET allowed_paths = {listed(urls)}")
    connection.execute("SET enable_external_access = false")


def _secret(storage: Storage) -> str:
    """DuckDB's access to the bucket, with the credentials that the store's client has now."""
    settings = storage.settings
    options = {"REGION": settings.region}
    if settings.endpoint_url:
        endpoint = urlsplit(settings.endpoint_url)
        options |= {
            "ENDPOINT": endpoint.netloc,
            "URL_STYLE": "path",
            "USE_SSL": str(endpoint.scheme == "https").lower(),
        }
    if keys := storage.credentials():
        options |= {"KEY_ID": keys.access_key or "", "SECRET": keys.secret_key or ""}
        options |= {"SESSION_TOKEN": keys.token} if keys.token else {}
    return f"CREATE SECRET store (TYPE s3, {', '.join(f'{name} {quoted(value)}' for name, value in options.items())})"


def _create_views(
    connection: duckdb.DuckDBPyConnection, storage: Storage, tables: Tables, tail: Tail, bounds: Bounds
) -> None:
    """Each table out of the tail's rows and its parts, columns in the table's order."""
    for shape in TABLES:
        connection.register(f"{shape.name}_tail", shape.table(tail.records))
        sources = [f"FROM {shape.name}_tail SELECT {_selected(shape, shape.columns())} WHERE {bounds.condition}"]
        for version in VERSIONS:
            if urls := [_url(storage, key) for key in tables.parts(shape.name, version)]:
                parts = f"read_parquet({listed(urls)}, hive_partitioning = true, hive_types = {{'date': DATE}})"
                columns = _selected(shape, shape.columns(version))
                sources.append(f"FROM {parts} SELECT {columns} WHERE {bounds.condition}")
        connection.execute(f"CREATE VIEW {shape.name} AS {' UNION ALL '.join(sources)}")


def _selected(shape: TableShape, there: Sequence[str]) -> str:
    """The table's columns; null for those that are not there, which take their type from the tail's."""
    return ", ".join(f'"{name}"' if name in there else f'NULL AS "{name}"' for name in shape.schema.names)


def _lock(connection: duckdb.DuckDBPyConnection, in_force: Sequence[str]) -> None:
    """Adds what is current by these runs; from here on no setting can be changed."""
    for view in current_views(in_force):
        connection.execute(view)
    connection.execute("SET lock_configuration = true")


def _rows(reader: pa.RecordBatchReader) -> Iterator[tuple[object, ...]]:
    for batch in reader:
        columns = [
            [_plain(value, field.type) for value in column.to_pylist()]
            for field, column in zip(batch.schema, batch.columns, strict=True)
        ]
        yield from zip(*columns, strict=True)


def _plain(value: Any, kind: pa.DataType) -> object:
    """Maps as dicts at every depth; Arrow hands them out as pairs."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return {str(key): _plain(item, kind.item_type) for key, item in value}
    if pa.types.is_struct(kind):
        return {field.name: _plain(value[field.name], field.type) for field in kind}
    if pa.types.is_list(kind):
        return [_plain(item, kind.value_type) for item in value]
    return value


def _url(storage: Storage, key: str) -> str:
    return f"s3://{storage.bucket}/{key}"


def _one_line(error: duckdb.Error) -> str:
    """DuckDB's message without the excerpt of the query below it."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
