"""`liverisk models`: which checkpoints there are, how they stand here, getting and checking them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
import yaml

from pipelines.cards import Card, CardError, WheelSource, read_cards
from pipelines.checkpoints import CheckpointError, Lock, Standing, ensure, standing
from pipelines.checkpoints.lock import LOCK_FILE
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.config import Config

LATER = {
    "eval": ("workers.cli.evaluate:evaluate", "Hold a checkpoint against the active one; refuse what is worse."),
    "compare": ("workers.cli.compare:compare", "Where two checkpoints disagree, and what each costs."),
    "shadow": ("workers.cli.moves:shadow", "Score beside the active checkpoint, used for nothing."),
    "canary": ("workers.cli.moves:canary", "Use a checkpoint for a stable share of the streams."),
    "promote": ("workers.cli.moves:promote", "Make a checkpoint the active one of its slot."),
    "rollback": ("workers.cli.moves:rollback", "Make the one before the active one again."),
    "clear": ("workers.cli.moves:clear", "Drop a slot's shadow and canary."),
    "slots": ("workers.cli.slots:slots", "Which checkpoint fills which slot."),
    "history": ("workers.cli.slots:history", "Who moved which checkpoint when, and why."),
    "train": ("workers.cli.train:train", "Train the part of a checkpoint that is ours: the text head."),
}
"""Subcommand -> (module and its click command, one-line help), imported when called."""


class ModelCommands(click.Group):
    """Training and comparing bring scikit-learn and torch along, so modules wait until they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*super().list_commands(ctx), *LATER]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in LATER:
            return super().get_command(ctx, cmd_name)
        from importlib import import_module

        module, _, attribute = LATER[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [(name, command.get_short_help_str()) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*own, *((name, text) for name, (_, text) in LATER.items())])


@click.group(cls=ModelCommands)
def models() -> None:
    """Checkpoints: get, check, compare and train them, and move them in and out of slots."""


@models.command(name="list")
@click.option("--slot", help="Only checkpoints that fill this slot.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def list_checkpoints(chosen: Path | None, slot: str | None, as_json: bool) -> None:
    """List checkpoints and how they stand on this machine. Hashes what is here."""
    config = configured(chosen)
    found = [card for card in _cards(config).values() if slot is None or slot in card.fields.slots]
    if not found:
        raise CommandError(f"no card fills the slot {slot}" if slot else "there are no model cards", exit_code=1)
    lock = _lock(config)
    rows = [(card, _standing(card, config, lock)) for card in found]
    if as_json:
        for card, stands in rows:
            click.echo(json.dumps(_summary(card, stands)))
        return
    _print_table(rows)


@models.command()
@click.argument("checkpoint")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
def show(chosen: Path | None, checkpoint: str, as_json: bool) -> None:
    """Print one checkpoint's card: where it comes from, what its labels mean, how it stands here."""
    config = configured(chosen)
    card = _chosen(config, [checkpoint])[0]
    stands = _standing(card, config, _lock(config))
    if as_json:
        click.echo(json.dumps(_summary(card, stands) | {"card": card.fields.model_dump(mode="json")}))
        return
    front = {**_summary(card, stands), **card.fields.model_dump(mode="json", exclude_defaults=True)}
    click.echo(yaml.safe_dump(front, allow_unicode=True, sort_keys=False, width=120), nl=False)
    click.echo(f"\n{card.body.strip()}")


@models.command()
@click.argument("checkpoints", nargs=-1)
@click.option("--all-embedded", is_flag=True, help="Every checkpoint that installs from the package index.")
@click.pass_obj
def pull(chosen: Path | None, checkpoints: tuple[str, ...], all_embedded: bool) -> None:
    """Get, build and verify checkpoints; without a name, those that the configured slots use."""
    from workers.checkpoints import s3_fetcher

    config = configured(chosen)
    if all_embedded:
        wanted = [card for card in _cards(config).values() if _is_embedded(card)]
        wanted += [card for card in _chosen(config, checkpoints) if card not in wanted]
    else:
        used = (name for slot in config.slots.values() for name in slot.checkpoints.values())
        names = checkpoints or tuple(dict.fromkeys(used))
        wanted = _chosen(config, names)
    failures: list[str] = []
    for card in wanted:
        try:
            ready = ensure(
                card, config.models, fetch_s3=s3_fetcher(config.store), lock=_lock(config), progress=click.echo
            )
            click.echo(f"{card.id}: {ready.folder} ({ready.digest[:12]})")
        except CheckpointError as error:
            failures.append(str(error))
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise CommandError(f"{failures[0]}{more}")


@models.command()
@click.argument("checkpoints", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_obj
def verify(chosen: Path | None, checkpoints: tuple[str, ...], as_json: bool) -> None:
    """Hash what was pulled and compare it with cards and lock file; without a name, everything pulled."""
    config, lock = configured(chosen), _lock(configured(chosen))
    cards = _chosen(config, checkpoints) if checkpoints else list(_cards(config).values())
    rows = [(card, _standing(card, config, lock)) for card in cards]
    if not checkpoints:
        rows = [(card, stands) for card, stands in rows if stands.state != "not pulled"]
    for card, stands in rows:
        if as_json:
            click.echo(json.dumps(_summary(card, stands)))
        else:
            for line in [str(finding) for finding in stands.findings] or [stands.state]:
                click.echo(f"{card.id}: {line}")
    wrong = [card.id for card, stands in rows if stands.state in ("damaged", "unverified")]
    absent = [card.id for card, stands in rows if stands.state == "not pulled"]
    if wrong:
        raise CommandError(f"{', '.join(wrong)}: not as pinned; `liverisk models pull {wrong[0]}` gets it again")
    if absent or not rows:
        raise CommandError(f"not pulled: {', '.join(absent) or 'nothing is'}", exit_code=1)


def _cards(config: Config) -> Mapping[str, Card]:
    try:
        return read_cards(config.cards_directory)
    except CardError as error:
        raise CommandError(str(error), exit_code=2) from None


def _chosen(config: Config, names: Sequence[str]) -> list[Card]:
    cards = _cards(config)
    for name in names:
        if name not in cards:
            raise CommandError(f"no card named {name} in {config.cards_directory}", exit_code=1)
    return [cards[name] for name in names]


def _lock(config: Config) -> Lock:
    return Lock(config.cards_directory / LOCK_FILE)


def _standing(card: Card, config: Config, lock: Lock) -> Standing:
    try:
        return standing(card, config.models, lock)
    except CheckpointError as error:
        raise CommandError(str(error)) from None


def _is_embedded(card: Card) -> bool:
    return any(isinstance(source, WheelSource) for source in card.fields.sources)


def _summary(card: Card, stands: Standing) -> dict[str, object]:
    return {
        "id": card.id,
        "slots": list(card.fields.slots),
        "kind": card.fields.kind,
        "licence": card.licence,
        "state": stands.state,
        "size": stands.size,
        "digest": stands.digest,
        "findings": [str(finding) for finding in stands.findings],
    }


def _print_table(rows: Sequence[tuple[Card, Standing]]) -> None:
    cells = [("ID", "SLOTS", "KIND", "LICENCE", "STATE", "SIZE"), *_cells(rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cells(rows: Sequence[tuple[Card, Standing]]) -> Iterator[tuple[str, ...]]:
    for card, stands in rows:
        size = f"{stands.size / 1e6:.0f} MB" if stands.size else "-"
        yield card.id, ",".join(card.fields.slots), card.fields.kind, card.licence, stands.state, size
