"""`liverisk quarantine`: what keeps failing, why, and another try."""

from __future__ import annotations

import json
from pathlib import Path

import click

from workers.cli.asking import on_record
from workers.cli.config import configured
from workers.cli.main import CommandError


@click.group()
def quarantine() -> None:
    """What keeps failing."""


@quarantine.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_entries(chosen: Path | None, as_json: bool) -> None:
    """List quarantined messages. Ends with 1 when there are none, with 3 when some entry cannot be read."""
    from workers.quarantine import QuarantineError, entries
    from workers.storage import Storage, StorageError

    damaged: list[QuarantineError] = []
    try:
        found = list(entries(Storage(configured(chosen).store), damaged.append))
    except StorageError as error:
        raise CommandError(str(error)) from None
    for name, entry in found:
        if as_json:
            click.echo(json.dumps({"name": name, **entry.model_dump(mode="json", exclude={"message"})}))
        else:
            click.echo(f"{name}  {entry.reason}: {entry.detail}  ({entry.attempts} starts, {entry.at:%F %T}Z)")
    if damaged:
        more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
        raise CommandError(f"{damaged[0]}{more}")
    if not found:
        raise CommandError("nothing is in quarantine", exit_code=1)


@quarantine.command()
@click.argument("name")
@click.pass_obj
def show(chosen: Path | None, name: str) -> None:
    """Print one entry whole, with the message it was made of."""
    from workers.quarantine import QuarantineError, read_entry
    from workers.storage import ObjectMissing, Storage, StorageError

    try:
        entry = read_entry(Storage(configured(chosen).store), name)
    except ObjectMissing:
        raise CommandError(f"no quarantine entry {name}", exit_code=1) from None
    except (StorageError, QuarantineError) as error:
        raise CommandError(str(error)) from None
    click.echo(entry.model_dump_json(indent=2))


@quarantine.command()
@click.argument("name")
@click.pass_obj
def retry(chosen: Path | None, name: str) -> None:
    """Queue the segment again, with its starts forgotten, and remove the entry."""
    import redis

    from pipelines.manifest import ManifestError
    from workers import quarantine as entries
    from workers.fetch import OutsideMedia
    from workers.publish import Publisher, PublishError
    from workers.state import StreamState, connect
    from workers.storage import ObjectMissing, Storage, StorageError

    settings = configured(chosen)
    try:
        storage = Storage(settings.store)
        with connect(settings) as client, Publisher(settings) as publisher, on_record(storage, name):
            state = StreamState(client, settings.state.ttl_s)
            manifest = entries.retry(name, storage, state, publisher, settings.store.media_prefix)
    except ObjectMissing:
        raise CommandError(f"no quarantine entry {name}", exit_code=1) from None
    except (ManifestError, OutsideMedia, entries.QuarantineError) as error:
        raise CommandError(f"{name} cannot be examined as it is: {error}", exit_code=2) from None
    except redis.RedisError as error:
        raise CommandError(f"the broker does not answer: {type(error).__name__}") from None
    except (StorageError, PublishError, ValueError) as error:
        raise CommandError(str(error)) from None
    click.echo(f"queued again: {entries.segment_name(manifest)}")
