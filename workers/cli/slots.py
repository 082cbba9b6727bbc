"""`liverisk models slots|history`: who fills which slot, and how it came to be so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.cli.moves import grounds, registry_refusals

if TYPE_CHECKING:
    from workers.registry.intake import Intake
    from workers.registry.slots import Registry


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def slots(chosen: Path | None, as_json: bool) -> None:
    """Print which checkpoint fills which slot, what is tried beside, and what every engine serves of it."""
    from workers.registry.moves import all_engines
    from workers.registry.store import read_state
    from workers.storage import Storage

    config = configured(chosen)
    with registry_refusals():
        registry = read_state(Storage(config.store)).registry
    found = all_engines(config)
    usual = {name: slot.checkpoint for name, slot in config.slots.items()}
    if as_json:
        tree = registry.model_dump(mode="json", by_alias=True, exclude_none=True) if registry else None
        said = [one.model_dump(mode="json") for one in found]
        click.echo(json.dumps({"registry": tree, "configured": usual, "engines": said}))
        return
    click.echo("\n".join((*slot_lines(usual, registry), *_engine_lines(found, registry, config.store.bucket))))


@click.command()
@click.argument("slot", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a move.")
@click.pass_obj
def history(chosen: Path | None, slot: str | None, as_json: bool) -> None:
    """Print every move, or those of SLOT, the first one first."""
    from workers.registry.store import history as moves_of
    from workers.storage import Storage

    config = configured(chosen)
    with registry_refusals():
        found = [move for move in moves_of(Storage(config.store)) if slot in (None, move.slot)]
    if not found:
        raise CommandError("nothing was ever moved" + (f" in {slot}" if slot else ""), exit_code=1)
    for move in found:
        if as_json:
            click.echo(json.dumps(move.model_dump(mode="json", by_alias=True, exclude_none=True)))
        else:
            why = f"  ({move.why})" if move.why else ""
            click.echo(f"{move.version:>4}  {move.at:%F %T}Z  {move.who}  {move}{why}")
            for line in grounds(move):
                click.echo(f"      {line}")


def slot_lines(configured: Mapping[str, str], registry: Registry | None) -> Iterator[str]:
    """A line a slot; where the registry overrules the checkpoint `configured` for it, that is said."""
    filled = registry.slots if registry else {}
    for name, checkpoint in configured.items():
        filling = filled.get(name)
        if filling is None:
            yield f"{name:<14} {checkpoint}, as configured"
            continue
        over = "" if filling.active.id == checkpoint else f"; OVERRULES the configured {checkpoint}"
        back = f"; back to {filling.previous} with rollback" if filling.previous else ""
        yield f"{name:<14} {filling}{over}{back}"
    for name in filled.keys() - configured.keys():
        yield f"{name:<14} is filled by the registry, and the configuration does not know it"
    if registry is not None:
        yield f"version {registry.version}: {registry.last.step} {registry.last.slot} by {registry.last.who}"


def _engine_lines(found: tuple[Intake, ...], registry: Registry | None, bucket: str) -> Iterator[str]:
    wanted = registry.version if registry else 0
    for one in found:
        if one.follows not in ("", bucket):
            yield f"engine {one.engine}: FOLLOWS ANOTHER REGISTRY, of bucket {one.follows}; no move here reaches it"
            continue
        if one.doing:
            yield f"engine {one.engine}: {one.doing}"
        elif one.version != wanted:
            yield f"engine {one.engine}: serves version {one.version}, and has not looked since"
        else:
            yield f"engine {one.engine}: serves it"
        yield from (f"  {slot}: DOES NOT HOLD IT: {problem}" for slot, problem in one.problems.items())
    if not found:
        yield "no engine runs"
