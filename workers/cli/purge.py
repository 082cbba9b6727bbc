"""`liverisk purge`: remove what is kept of one stream or of one user of the chat."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.asking import on_record
from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    import redis

    from workers.config import Config
    from workers.privacy.purging import Purged
    from workers.storage import Storage


@click.command()
@click.option("--stream", metavar="ID", help="Everything of this stream.")
@click.option("--user", metavar="ID", help="What this user wrote in any chat. - reads the id from standard input.")
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--reason", default="", help="Kept in the audit log.")
@click.option("--yes", is_flag=True, help="Do not ask before removing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def purge(
    chosen: Path | None, stream: str | None, user: str | None, dry_run: bool, reason: str, yes: bool, as_json: bool
) -> None:
    """Remove a person's data everywhere, and say what was removed and what could not be.

    Ends with 1 when there was nothing, with 3 when something had to be left. Safe to repeat.
    """
    if (stream is None) == (user is None):
        raise CommandError("give --stream or --user", exit_code=2)
    config = configured(chosen)
    if user == "-":
        user = sys.stdin.read().strip()
    with _refusals(), _broker(config) as client:
        from workers.storage import Storage

        storage = Storage(config.store)
        if not (dry_run or yes) and not click.confirm("this cannot be undone; remove?", err=True):
            raise CommandError("nothing was removed", exit_code=1)
        done = _done(config, storage, client, stream, user, dry_run=dry_run, reason=reason)
    click.echo(json.dumps(_tree(done)) if as_json else "\n".join(lines(done)))
    if done.left:
        raise CommandError(f"{len(done.left)} things were left, see above")
    if not done.removed and not done.changed:
        raise CommandError("nothing was found", exit_code=1)


def lines(done: Purged) -> Iterator[str]:
    """What was done, and what was not."""
    would = "would be " if done.dry_run else ""
    for word, counts in (("removed", done.removed), ("changed", done.changed)):
        yield from (f"{would}{word}: {count} {kind}" for kind, count in counts.items())
    yield from (f"left: {line}" for line in done.left)
    yield "backups, other systems and messages that are still on their way here are not this command's to reach"


def _done(
    config: Config,
    storage: Storage,
    client: redis.Redis | None,
    stream: str | None,
    user: str | None,
    *,
    dry_run: bool,
    reason: str,
) -> Purged:
    from workers.privacy.pseudonyms import Pseudonyms
    from workers.privacy.purge import purge_stream, purge_user

    def purged() -> Purged:
        if stream is not None:
            return purge_stream(config, storage, client, stream, dry_run=dry_run)
        assert user is not None
        return purge_user(config, storage, client, user, dry_run=dry_run)

    if dry_run:
        return purged()
    # The log must not keep the name that is to go; where records have plain ids it says only that it was a user.
    named = "a user" if config.privacy.user_ids == "plain" else f"user {Pseudonyms.of(config).name(user or '')}"
    with on_record(storage, named if stream is None else f"stream {stream}", reason=reason) as result:
        done = purged()
        result |= {"removed": dict(done.removed), "changed": dict(done.changed), "left": list(done.left)}
    return done


@contextmanager
def _refusals() -> Iterator[None]:
    from workers.config import ConfigError
    from workers.privacy.evidence import EvidenceError
    from workers.storage import StorageError
    from workers.verdicts.tables import TablesError

    try:
        yield
    except (StorageError, TablesError, EvidenceError) as error:
        raise CommandError(f"{error}; what was removed so far stays so, do it again") from None
    except ConfigError as error:
        raise CommandError(str(error), exit_code=2) from None


@contextmanager
def _broker(config: Config) -> Iterator[redis.Redis | None]:
    """None where the broker's store does not answer."""
    import redis

    from workers.config import ConfigError
    from workers.state import connect

    try:
        client = connect(config)
        client.ping()
    except (redis.RedisError, ConfigError):
        yield None
        return
    try:
        yield client
    finally:
        client.close()


def _tree(done: Purged) -> dict[str, object]:
    return {
        "dry_run": done.dry_run,
        "removed": dict(done.removed),
        "changed": dict(done.changed),
        "left": list(done.left),
    }
