"""`liverisk audit`: who had what changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment

if TYPE_CHECKING:
    from workers.audit import Entry


@click.command()
@click.option("--since", type=Moment(), help="2026-03-10T20:00 (UTC), or how long ago: 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="What began before this.")
@click.option("--command", "prefix", default="", help="Only commands that begin so, for instance models or purge.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def audit(chosen: Path | None, since: datetime | None, until: datetime | None, prefix: str, as_json: bool) -> None:
    """List what was had changed, by whom, and how it ended, the first one first. Ends with 1 when there is nothing."""
    from workers.audit import AuditError, entries
    from workers.storage import Storage, StorageError

    try:
        storage = Storage(configured(chosen).store)
        found = [one for one in entries(storage, since, until) if one.began.command.startswith(prefix)]
    except (StorageError, AuditError) as error:
        raise CommandError(str(error)) from None
    for one in found:
        if as_json:
            click.echo(json.dumps(one.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False))
        else:
            click.echo("\n".join(lines(one)))
    if not found:
        raise CommandError("nothing was changed in that time", exit_code=1)


def lines(entry: Entry) -> Iterator[str]:
    """One entry for a reader: a line, and a second one with what came of it."""
    from workers.verdicts.show import printable

    began, ended = entry.began, entry.ended
    outcome = "no end noted" if ended is None else ended.outcome
    about = f" {began.target}" if began.target else ""
    words = ", ".join(f"{name} {_said(value)}" for name, value in began.details.items())
    yield printable(
        f"{began.at:%F %T}Z  {began.who}  {began.command}{about}{f' ({words})' if words else ''}: {outcome}"
    )
    if ended is not None and ended.result:
        yield printable("  " + ", ".join(f"{name} {_said(value)}" for name, value in ended.result.items()))


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
