"""`liverisk retention`: how long objects are kept, told to the store and swept by ourselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.asking import on_record
from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    from workers.config import Config
    from workers.storage import Storage


@click.group()
def retention() -> None:
    """How long media, records and quarantine are kept; the settings are `retention.…`."""


@retention.command()
@click.pass_obj
def show(chosen: Path | None) -> None:
    """Print how long each kind is kept, and which of the rules the store has."""
    from workers.privacy.retention import kept_days, kept_rules

    with _storage(chosen) as (config, storage):
        stored = {rule.prefix: rule.days for rule in kept_rules(storage)}
    for prefix, days in kept_days(config).items():
        rule = f"the store's rule: {stored[prefix]} days" if prefix in stored else "no rule in the store"
        differs = "  DIFFERS: `liverisk retention apply`" if stored.get(prefix) != days else ""
        click.echo(f"{prefix:<12} {'for ever' if days is None else f'{days} days'}; {rule}{differs}")
    click.echo("audit/, evidence/ and registry/ are never removed by age")


@retention.command(name="apply")
@click.pass_obj
def apply_rules(chosen: Path | None) -> None:
    """Set the lifecycle rules. What a store writes under a rule it may remove even after the rule is gone."""
    from workers.privacy.retention import rules, set_rules

    with _storage(chosen) as (config, storage), on_record(storage, "") as result:
        wanted, kept = rules(config), set_rules(config, storage)
        result |= {rule.prefix: rule.days for rule in wanted}
    if set(kept) != set(wanted):
        raise CommandError("the store took the rules and does not have them: `liverisk retention sweep` does without")
    for rule in kept:
        click.echo(f"{rule.prefix:<12} {rule.days} days")
    click.echo("objects written before, and stores that follow no rules, need `liverisk retention sweep`, once a day")


@retention.command()
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def sweep(chosen: Path | None, dry_run: bool, as_json: bool) -> None:
    """Remove what is older than it may be; held evidence stays. For a daily job."""
    from workers.privacy.retention import sweep as swept_by

    with _storage(chosen) as (config, storage):
        if dry_run:
            swept = swept_by(config, storage, dry_run=True)
        else:
            with on_record(storage, "") as result:
                swept = swept_by(config, storage)
                result |= {"objects": dict(swept.objects), "bytes": swept.bytes}
    if as_json:
        click.echo(json.dumps({"dry_run": dry_run, "objects": swept.objects, "bytes": swept.bytes}))
        return
    would = "would be " if dry_run else ""
    for prefix, count in swept.objects.items():
        click.echo(f"{would}removed: {count} objects of {prefix}")
    click.echo(f"{sum(swept.objects.values())} objects, {swept.bytes / 2**20:.1f} MiB")


@contextmanager
def _storage(chosen: Path | None) -> Iterator[tuple[Config, Storage]]:
    from workers.storage import Storage, StorageError

    config = configured(chosen)
    try:
        yield config, Storage(config.store)
    except StorageError as error:
        raise CommandError(str(error)) from None
