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

import boto3
import duckdb
import pyarrow as pa

from pipelines.record import Record
from workers.records import Progress, RecordError, read_records, record_keys
from workers.storage import Storage, StorageError
from workers.verdicts.rows import TABLES
from workers.verdicts.tables import Tables, read_tables

ROWS_AT_ONCE = 1000
HTTPFS = files("duckdb_extension_httpfs") / "extensions" / f"v{duckdb.__version__}" / "httpfs.duckdb_extension"
"""DuckDB's S3 client from its wheel: nothing is downloaded while answering."""


class QueryError(ValueError):
    """The SQL cannot be answered as it is written; one line."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Only segments that start in [since, until); of other days nothing is read."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def condition(self) -> str:
        """The bounds in SQL, over a table with `captured_at`."""
        parts = [
            f"captured_at {sign} {_quoted(moment.astimezone(UTC).isoformat())}::TIMESTAMPTZ"
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
class Tail:
    """The records that no part holds yet."""

    records: tuple[Record, ...]
    unreadable: tuple[RecordError, ...]


def answer(
    storage: Storage, sql: str, *, bounds: Bounds = EVER, limit: int | None = None, tell: Progress | None = None
) -> Answer:
    """What the SQL says of `verdicts`, `segments` and `observations` within the bounds; at most `limit` rows.

    `QueryError` for SQL that is wrong or wants more than reading, `StorageError` when the store fails.
    """
    with _connection() as connection:
        statement = _checked(connection, sql)
    tables = read_tables(storage, since=bounds.since, until=bounds.until)
    tail = read_tail(storage, tables, bounds, tell)
    with _connection() as connection:
        try:
            _open_parts(connection, storage, tables)
            _create_views(connection, storage, tables, tail, bounds)
            reader = connection.execute(statement).to_arrow_reader(ROWS_AT_ONCE)
            rows = tuple(islice(_rows(reader), None if limit is None else limit + 1))
        except duckdb.IOException as error:
            raise StorageError(f"reading the tables: {_one_line(error)}") from None
        except duckdb.Error as error:
            raise QueryError(_one_line(error)) from None
    more = limit is not None and len(rows) > limit
    return Answer(tuple(reader.schema.names), rows[:limit], more, len(tail.records), tail.unreadable)


def read_tail(storage: Storage, tables: Tables, bounds: Bounds = EVER, tell: Progress | None = None) -> Tail:
    """Reads the records that no finished part holds: those that may lie within the bounds, as their keys say."""
    compacted = tables.compacted
    found_keys = record_keys(storage, since=bounds.since, until=bounds.until)
    keys = (key for key in found_keys if key not in compacted)
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
        connection.execute(f"EXPLAIN {sql}")
    except duckdb.Error as error:
        raise QueryError(_one_line(error)) from None
    return statements[0]


def _open_parts(connection: duckdb.DuckDBPyConnection, storage: Storage, tables: Tables) -> None:
    """Lets the connection reach the parts, by name, and shuts every other file and address."""
    if tables.finished:
        connection.execute(f"LOAD {_quoted(str(HTTPFS))}")
        connection.execute(_secret(storage))
    urls = [_url(storage, key) for shape in TABLES for key in tables.parts(shape.name)]
    connection.execute(f"SET allowed_paths = {_listed(urls)}")
    connection.execute("SET enable_external_access = false")


def _secret(storage: Storage) -> str:
    """DuckDB's access to the bucket: the configured keys, or those that boto3 finds where it runs."""
    settings = storage.settings
    options = {"REGION": settings.region}
    if settings.endpoint_url:
        endpoint = urlsplit(settings.endpoint_url)
        options |= {
            "ENDPOINT": endpoint.netloc,
            "URL_STYLE": "path",
            "USE_SSL": str(endpoint.scheme == "https").lower(),
        }
    if settings.access_key and settings.secret_key:
        options |= {"KEY_ID": settings.access_key.get_secret_value(), "SECRET": settings.secret_key.get_secret_value()}
    elif found := boto3.session.Session().get_credentials():
        keys = found.get_frozen_credentials()
        options |= {"KEY_ID": keys.access_key or "", "SECRET": keys.secret_key or ""}
        options |= {"SESSION_TOKEN": keys.token} if keys.token else {}
    return f"CREATE SECRET store (TYPE s3, {', '.join(f'{name} {_quoted(value)}' for name, value in options.items())})"


def _create_views(
    connection: duckdb.DuckDBPyConnection, storage: Storage, tables: Tables, tail: Tail, bounds: Bounds
) -> None:
    """Each table out of its parts and the tail's rows, columns in the table's order; then locks the settings."""
    for shape in TABLES:
        columns = ", ".join(f'"{name}"' for name in shape.schema.names)
        connection.register(f"{shape.name}_tail", shape.table(tail.records))
        sources = [f"FROM {shape.name}_tail SELECT {columns} WHERE {bounds.condition}"]
        if urls := [_url(storage, key) for key in tables.parts(shape.name)]:
            parts = f"read_parquet({_listed(urls)}, hive_partitioning = true, hive_types = {{'date': DATE}})"
            sources.append(f"FROM {parts} SELECT {columns} WHERE {bounds.condition}")
        connection.execute(f"CREATE VIEW {shape.name} AS {' UNION ALL '.join(sources)}")
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


def _listed(values: Sequence[str]) -> str:
    return f"[{', '.join(map(_quoted, values))}]"


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _one_line(error: duckdb.Error) -> str:
    """DuckDB's message without the excerpt of the query below it."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
