"""`liverisk verdicts`: what was concluded about a stream, SQL over everything, and compaction."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from workers.records import Progress
    from workers.storage import Storage
    from workers.verdicts.query import Answer
    from workers.verdicts.show import Shown

TABLE_ROWS = 500
"""Rows of a printed table unless --limit says otherwise."""
LONG_TAIL = 1000
"""Records read one by one for an answer, above which compacting is worth a hint."""
LOG_WIDTH = 180
"""Columns of a table that goes into a file or a log, where no terminal says how wide it is."""


@click.group()
def verdicts() -> None:
    """Read results: one stream, or SQL over all."""


@verdicts.command()
@click.argument("stream")
@click.option("--since", type=Moment(), help="2026-03-10T20:00 (UTC), or how long ago: 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="Segments that start before this.")
@click.option(
    "--run", default="current", show_default=True, help="current (of applied runs, else live), live, rescan-…."
)
@click.option("--all", "every_policy", is_flag=True, help="Every policy of every segment, not only what was found.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with lines and timeline.")
@click.pass_obj
def show(
    chosen: Path | None,
    stream: str,
    since: datetime | None,
    until: datetime | None,
    run: str,
    every_policy: bool,
    as_json: bool,
) -> None:
    """Print what was found in a stream, segment by segment. Ends with 1 when there is no such record."""
    from workers.verdicts.show import show_stream

    with _storage(chosen) as storage:
        found = show_stream(storage, stream, run=run, since=since, until=until, every_policy=every_policy, tell=_tell())
    if found is None:
        named = "" if run == "current" else f" in run {run}"
        raise CommandError(f"no records of stream {stream}{named}{_bounds(since, until)}", exit_code=1)
    if as_json:
        from pydantic import TypeAdapter

        from workers.verdicts.show import Shown

        click.echo(TypeAdapter(Shown).dump_json(found))
    else:
        _print_stream(found)
    _tell_unreadable(found.unreadable)


@verdicts.command()
@click.argument("sql")
@click.option("--since", type=Moment(), help="Only segments that start then or later: 2026-03-10T20:00, 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="Only segments that start before this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values with a header.")
@click.option("--limit", type=click.IntRange(min=1), help=f"Rows at most; a printed table stops at {TABLE_ROWS}.")
@click.pass_obj
def query(
    chosen: Path | None,
    sql: str,
    since: datetime | None,
    until: datetime | None,
    as_json: bool,
    as_csv: bool,
    limit: int | None,
) -> None:
    """Answer one SELECT over `verdicts`, `segments` and `observations`, of every run.

    Put `current_` before a table's name to see each segment once: as the run applied last, or else live, has it.
    Ends with 1 when there are no rows.
    """
    from workers.verdicts.query import Bounds, QueryError, answer

    if as_json and as_csv:
        raise CommandError("give --json or --csv, not both", exit_code=2)
    limit = limit or (None if as_json or as_csv else TABLE_ROWS)
    with _storage(chosen) as storage:
        try:
            found = answer(storage, sql, bounds=Bounds(since, until), limit=limit, tell=_tell())
        except QueryError as error:
            raise CommandError(str(error), exit_code=2) from None
    _print_answer(found, as_json=as_json, as_csv=as_csv)
    if found.tail > LONG_TAIL:
        click.echo(
            f"liverisk: {found.tail} records were not compacted yet; `verdicts compact`, or --since, makes this quick",
            err=True,
        )
    _tell_unreadable([str(error) for error in found.unreadable])
    if not found.rows:
        raise CommandError("no rows", exit_code=1)


def _print_answer(found: Answer, *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        for row in found.rows:
            click.echo(json.dumps(dict(zip(found.columns, row, strict=True)), ensure_ascii=False, default=_spelt))
    elif as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerows([found.columns, *([_exact(value) for value in row] for row in found.rows)])
    else:
        _print_rows(found)
    if found.more:
        click.echo(f"liverisk: only the first {len(found.rows)} rows; give a larger --limit for more", err=True)


@verdicts.command()
@click.option("--until", type=Moment(), help="Only segments that start before this.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def compact(chosen: Path | None, until: datetime | None, as_json: bool) -> None:
    """Gather records into Parquet tables, so that queries stay quick. Safe to repeat, and to interrupt."""
    from workers.verdicts.tables import compact as gather

    with _storage(chosen) as storage:
        done = gather(storage, until=until, tell=_tell())
    if as_json:
        unreadable = [str(error) for error in done.unreadable]
        click.echo(json.dumps({"records": done.records, "parts": done.parts, "unreadable": unreadable}))
    else:
        click.echo(f"{done.records} records into {done.parts} parts")
    _tell_unreadable([str(error) for error in done.unreadable])


@contextmanager
def _storage(chosen: Path | None) -> Iterator[Storage]:
    """The store; what it, a record or a table refuses ends the command with one line."""
    from workers.records import RecordError
    from workers.runs.store import RunError
    from workers.storage import Storage, StorageError
    from workers.verdicts.tables import TablesError

    try:
        yield Storage(configured(chosen).store)
    except (StorageError, RecordError, RunError, TablesError) as error:
        raise CommandError(str(error)) from None


def _tell() -> Progress | None:
    """Counts on one line of a terminal; a log is spared."""
    if not sys.stderr.isatty():
        return None
    return lambda done: click.echo(f"{done} records read\r", nl=False, err=True)


def _tell_unreadable(errors: Sequence[str]) -> None:
    """Ends with 3 after printing what there is: an answer with holes must not look whole."""
    if errors:
        raise CommandError(f"{len(errors)} records could not be read and are missing above; the first: {errors[0]}")


def _bounds(since: datetime | None, until: datetime | None) -> str:
    after = f" since {since:%F %T}Z" if since else ""
    return after + (f" until {until:%F %T}Z" if until else "")


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else LOG_WIDTH, highlight=False, markup=False, emoji=False)


def _print_stream(found: Shown) -> None:
    from rich import box
    from rich.table import Table

    from workers.verdicts.show import PLAIN

    console = _console()
    examined, after = found.examined, found.latency_s
    console.print(f"stream {found.stream_id}, run {found.run}, {found.start:%F %T}Z to {found.end:%F %T}Z")
    console.print(
        f"{found.segments} segments: {examined['examined']} examined, {examined['partly']} partly, "
        f"{examined['not']} not"
        + (f"; segment end to record p50 {after.p50:.1f} s, p95 {after.p95:.1f} s" if after else "")
    )
    if found.shed:
        console.print(f"overload: {found.shed} segments examined in less depth, or not at all")
    for checkpoint in found.checkpoints:
        console.print(f"  {checkpoint}")
    table = Table("time (UTC)", "policy", "severity", "action", "prob.", "seen", "coverage", box=box.SIMPLE)
    mixed = found.run == "current" and any(line.run not in (None, "live") for line in found.lines)
    if mixed:
        table.add_column("run")
    for line in found.lines:
        table.add_row(
            f"{line.start:%F %T}",
            line.policy or PLAIN[line.kind],
            "" if line.policy is None else line.severity,
            "" if line.kind == "missing" else line.action,
            "" if line.probability is None else f"{line.probability:.2f}",
            line.seen,
            line.coverage,
            *(["" if line.run == "live" else line.run or ""] if mixed else []),
        )
    console.print(table)


def _print_rows(found: Answer) -> None:
    from rich import box
    from rich.table import Table

    from workers.verdicts.show import printable

    table = Table(*map(printable, found.columns), box=box.SIMPLE)
    for row in found.rows:
        table.add_row(*(printable(_cell(value)) for value in row))
    _console().print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case datetime():
            return f"{value:%F %T}" if value.microsecond == 0 else f"{value:%F %T.%f}"[:-3]
        case float():
            return f"{value:.6g}"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, default=_spelt)
        case _:
            return str(value)


def _exact(value: object) -> object:
    """Whole, where a printed cell may round: for programs."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=_spelt)
    return value.isoformat() if isinstance(value, date) else value


def _spelt(value: object) -> str:
    """Times as ISO 8601, everything else JSON lacks in its own words."""
    return value.isoformat() if isinstance(value, date) else str(value)
