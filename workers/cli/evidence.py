"""`liverisk evidence`: hold an incident's segments, and let them go."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.asking import asking, on_record
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moment import Moment

if TYPE_CHECKING:
    from workers.config import Config
    from workers.privacy.evidence import Incident
    from workers.storage import Storage


@click.group()
def evidence() -> None:
    """Copies of an incident's records and media that retention and purges leave alone."""


@evidence.command()
@click.argument("incident")
@click.option("--stream", required=True, metavar="ID", help="Hold this stream's segments, as every run has them.")
@click.option("--since", type=Moment(), help="2026-03-10T20:00 (UTC), or how long ago: 90m, 2h, 3d.")
@click.option("--until", type=Moment(), help="Segments that start before this.")
@click.option("--reason", default="", help="Kept with the evidence.")
@click.option("--json", "as_json", is_flag=True, help="The manifest of what was held.")
@click.pass_obj
def hold(
    chosen: Path | None,
    incident: str,
    stream: str,
    since: datetime | None,
    until: datetime | None,
    reason: str,
    as_json: bool,
) -> None:
    """Hold segments for INCIDENT; again, for other streams or what has come since, adds to it."""
    from workers.privacy import evidence as held

    with _storage(chosen) as (config, storage), on_record(storage, incident, stream=stream, reason=reason) as result:
        done = held.hold(
            storage,
            incident,
            stream,
            by=asking(),
            since=since,
            until=until,
            reason=reason,
            media_prefix=config.store.media_prefix,
        )
        result |= {"objects": len(done.objects), "missing": len(done.missing), "sha256": held.digest_of(done)}
    if as_json:
        click.echo(done.model_dump_json(by_alias=True, exclude_none=True))
        return
    size = sum(one.size for one in done.objects) / 2**20
    click.echo(f"{incident}: holds {len(done.objects)} more objects ({size:.1f} MiB) of {done.segments} segments")
    click.echo(f"manifest {done.number}, sha256 {held.digest_of(done)}")
    for key in done.missing:
        click.echo(f"gone before it could be held: {key}", err=True)


@evidence.command()
@click.argument("incident")
@click.option("--reason", default="", help="Kept with the hashes.")
@click.pass_obj
def release(chosen: Path | None, incident: str, reason: str) -> None:
    """Let INCIDENT's evidence go: the copies are removed, their hashes stay."""
    from workers.privacy import evidence as held

    with _storage(chosen) as (_, storage), on_record(storage, incident, reason=reason) as result:
        done = held.release(storage, incident, by=asking(), reason=reason)
        result["objects"] = done.objects
    click.echo(f"{incident}: {done.objects} copies removed; what they were stays in its manifests")


@evidence.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_incidents(chosen: Path | None, as_json: bool) -> None:
    """List every incident that something is or was held for. Ends with 1 when there is none."""
    from workers.privacy import evidence as held

    with _storage(chosen) as (_, storage):
        found = list(held.incidents(storage))
    for one in found:
        click.echo(json.dumps(_tree(one)) if as_json else _line(one))
    if not found:
        raise CommandError("nothing was ever held", exit_code=1)


@evidence.command()
@click.argument("incident")
@click.pass_obj
def verify(chosen: Path | None, incident: str) -> None:
    """Check that INCIDENT's copies are what was held, and that no manifest is missing or changed."""
    from workers.privacy import evidence as held

    with _storage(chosen) as (_, storage):
        found = held.read_incident(storage, incident)
        wrong = list(held.problems(storage, found))
    for line in wrong:
        click.echo(line)
    if wrong:
        raise CommandError(f"{incident}: {len(wrong)} things are not as they were held")
    if found.released is not None:
        click.echo(f"{incident}: released; its manifests are whole")
    else:
        click.echo(f"{incident}: {len(found.objects)} objects are as they were held")


def _line(one: Incident) -> str:
    state = "held" if one.released is None else f"released {one.released.at:%F} by {one.released.by}"
    streams = " ".join(dict.fromkeys(stream for hold in one.holds for stream in hold.streams))
    first = one.holds[0]
    reason = f"  ({first.reason})" if first.reason else ""
    return f"{one.name}  {len(one.objects)} objects of {streams}, since {first.at:%F} by {first.by}: {state}{reason}"


def _tree(one: Incident) -> dict[str, object]:
    released = one.released.model_dump(mode="json") if one.released else None
    return {"incident": one.name, "holds": [hold.model_dump(mode="json") for hold in one.holds], "released": released}


@contextmanager
def _storage(chosen: Path | None) -> Iterator[tuple[Config, Storage]]:
    from workers.privacy.evidence import EvidenceError, NoSuchIncident
    from workers.storage import Storage, StorageError

    config = configured(chosen)
    try:
        yield config, Storage(config.store)
    except NoSuchIncident as error:
        raise CommandError(str(error), exit_code=1) from None
    except EvidenceError as error:
        raise CommandError(str(error), exit_code=2) from None
    except StorageError as error:
        raise CommandError(str(error)) from None
