"""`liverisk quarantine`: what keeps failing, why, and another try."""

from __future__ import annotations

import json
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError


@click.group()
def quarantine() -> None:
    """What keeps failing."""


@quarantine.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_entries(chosen: Path | None, as_json: bool) -> None:
    """List quarantined messages. Ends with 1 when there are none."""
    from workers.quarantine import entries
    from workers.storage import Storage, StorageError

    try:
        found = list(entries(Storage(configured(chosen).store)))
    except StorageError as error:
        raise CommandError(str(error)) from None
    for name, entry in found:
        if as_json:
            click.echo(json.dumps({"name": name, **entry.model_dump(mode="json", exclude={"message"})}))
        else:
            click.echo(f"{name}  {entry.reason}: {entry.detail}  ({entry.attempts} starts, {entry.at:%F %T}Z)")
    if not found:
        raise CommandError("nothing is in quarantine", exit_code=1)


@quarantine.command()
@click.argument("name")
@click.pass_obj
def show(chosen: Path | None, name: str) -> None:
    """Print one entry whole, with the message it was made of."""
    from workers.quarantine import read_entry
    from workers.storage import ObjectMissing, Storage, StorageError

    try:
        entry = read_entry(Storage(configured(chosen).store), name)
    except ObjectMissing:
        raise CommandError(f"no quarantine entry {name}", exit_code=1) from None
    except StorageError as error:
        raise CommandError(str(error)) from None
    click.echo(entry.model_dump_json(indent=2))


@quarantine.command()
@click.argument("name")
@click.pass_obj
def retry(chosen: Path | None, name: str) -> None:
    """Queue the segment again, with its starts forgotten, and remove the entry."""
    from pipelines.manifest import ManifestError
    from workers.publish import Publisher, PublishError
    from workers.quarantine import QuarantineError, manifest_of, read_entry, remove, segment_name
    from workers.state import StreamState, connect
    from workers.storage import ObjectMissing, Storage, StorageError

    settings = configured(chosen)
    storage = Storage(settings.store)
    try:
        entry = read_entry(storage, name)
        manifest = manifest_of(entry)
        with connect(settings) as client:
            StreamState(client, settings.state.ttl_s).forget_attempts(segment_name(manifest))
        publisher = Publisher(settings)
        try:
            publisher.send(manifest, lane=entry.lane)
        finally:
            publisher.close()
        remove(storage, name)
    except ObjectMissing:
        raise CommandError(f"no quarantine entry {name}", exit_code=1) from None
    except (ManifestError, QuarantineError) as error:
        raise CommandError(f"{name}: {error}", exit_code=2) from None
    except (StorageError, PublishError, ValueError) as error:
        raise CommandError(str(error)) from None
    click.echo(f"queued again: {segment_name(manifest)} in lane {entry.lane}")
