"""`liverisk models shadow|canary|promote|rollback|clear`: checkpoints in and out of slots."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workers.cli.asking import asking
from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    from workers.config import Config
    from workers.registry.moves import Answer, Asked
    from workers.registry.slots import Move

Command = TypeVar("Command", bound=Callable[..., Any])
TIMEOUT_S = 300.0
WITHDRAWN_S = 10.0


def move_options(command: Command) -> Command:
    """What every move takes."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object."),
        click.option("--timeout", "timeout_s", default=TIMEOUT_S, show_default=True, help="Seconds to wait."),
        click.option("--no-wait", is_flag=True, help="Do not wait until the engines have taken it in."),
        click.option("--drain", is_flag=True, help="Engines without room for two free the old one first."),
        click.option("--dry-run", is_flag=True, help="Say what would become of the slot, and change nothing."),
        click.option("--why", default="", help="Kept in the history."),
    ):
        command = option(command)
    return command


def force_option(command: Command) -> Command:
    """What the moves take that put a checkpoint to use."""
    return click.option(
        "--force", default="", metavar="REASON", help="Against what is missing or worse; kept in the history."
    )(command)


@click.command()
@click.argument("slot")
@click.argument("checkpoint")
@move_options
@click.pass_obj
def shadow(chosen: Path | None, /, slot: str, checkpoint: str, **options: Any) -> None:
    """Have CHECKPOINT score beside SLOT's active one; its scores are stored and used for nothing."""
    _carry_out(chosen, lambda config, asked: _moves().shadow(config, slot, checkpoint, asked), **options)


@click.command()
@click.argument("slot")
@click.argument("percent", type=click.FloatRange(0, 100, min_open=True))
@click.argument("checkpoint", required=False)
@force_option
@move_options
@click.pass_obj
def canary(chosen: Path | None, /, slot: str, percent: float, checkpoint: str | None, **options: Any) -> None:
    """Have PERCENT of the streams, always the same, use CHECKPOINT, or the canary or shadow there is, in SLOT.

    It must have passed `models eval` against the active one.
    """
    _carry_out(chosen, lambda config, asked: _moves().canary(config, slot, checkpoint, percent, asked), **options)


@click.command()
@click.argument("slot")
@click.argument("checkpoint", required=False)
@force_option
@move_options
@click.pass_obj
def promote(chosen: Path | None, /, slot: str, checkpoint: str | None, **options: Any) -> None:
    """Make CHECKPOINT, or the canary or else the shadow, SLOT's active one. Waits until the engines serve it.

    It must have passed `models eval` against the one that is active now.
    """
    _carry_out(chosen, lambda config, asked: _moves().promote(config, slot, checkpoint, asked), **options)


@click.command()
@click.argument("slot")
@move_options
@click.pass_obj
def rollback(chosen: Path | None, /, slot: str, **options: Any) -> None:
    """Take out what came into SLOT last: the canary if there is one, else the active one for the one before.

    Given again, it leads to the one before that.
    """
    _carry_out(chosen, lambda config, asked: _moves().rollback(config, slot, asked), **options)


@click.command()
@click.argument("slot")
@move_options
@click.pass_obj
def clear(chosen: Path | None, /, slot: str, **options: Any) -> None:
    """Drop SLOT's shadow and canary."""
    _carry_out(chosen, lambda config, asked: _moves().clear(config, slot, asked), **options)


def _moves() -> Any:
    from workers.registry import moves

    return moves


@contextmanager
def registry_refusals() -> Iterator[None]:
    """Turns what the registry and the store refuse into one line."""
    from workers.registry.store import RegistryError
    from workers.storage import StorageError

    try:
        yield
    except RegistryError as error:
        raise CommandError(str(error)) from None
    except StorageError as error:
        raise CommandError(f"the store did not answer: {error}; is `liverisk up` running?") from None


def _carry_out(
    chosen: Path | None,
    make: Callable[[Config, Asked], Move],
    *,
    why: str,
    dry_run: bool,
    drain: bool,
    no_wait: bool,
    timeout_s: float,
    as_json: bool,
    force: str = "",
) -> None:
    """Makes the move and says what the engines say; one that an engine refuses is withdrawn."""
    from workers.registry.moves import Asked, StillMoving, await_engines

    config = configured(chosen)
    say = _silent if as_json else click.echo
    with registry_refusals():
        move = make(config, Asked(why=why, who=asking(), force=force.strip(), drain=drain, dry_run=dry_run))
        say(f"{'would ' if dry_run else ''}{move}")
        for line in grounds(move):
            say(f"  {line}")
        answers: tuple[Answer, ...] = ()
        if not dry_run and not no_wait:
            try:
                answers = await_engines(config, move, timeout_s, lambda line: say(f"  waiting for {line}"))
            except StillMoving as error:
                raise CommandError(str(error)) from None
        refused = [one for one in answers if one.problem is not None]
        if as_json:
            click.echo(json.dumps(_as_json(move, answers, dry_run=dry_run)))
        for one in answers:
            say(f"  {one.engine}: {one.problem or 'serves it'}")
        if refused:
            _take_back(config, move, refused[0])
    if not dry_run and not answers:
        say(f"  {'not waited for' if no_wait else 'no engine runs; the next that starts takes it in'}")


def grounds(move: Move) -> Iterator[str]:
    """What is known of the checkpoint that a move puts to use, and what was passed over; nothing of other moves."""
    if move.evaluation:
        yield move.evaluation
    if move.forced:
        yield f"FORCED ({move.forced}) against: {'; '.join(move.objections)}"


def _take_back(config: Config, move: Move, refusal: Answer) -> None:
    """Ends the command: the move failed, whatever becomes of taking it back."""
    from workers.registry.moves import StillMoving, await_engines, withdraw
    from workers.registry.store import RegistryError

    try:
        undone = withdraw(config, move, f"{refusal.engine}: {refusal.problem}")
    except RegistryError as error:
        raise CommandError(f"refused: {refusal.problem}; not withdrawn: {error}") from None
    with suppress(StillMoving):
        await_engines(config, undone, WITHDRAWN_S, _silent)
    serving = move.before.active if move.before else "the configured checkpoint"
    raise CommandError(f"refused: {refusal.problem}; withdrawn, {move.slot} stays with {serving}")


def _as_json(move: Move, answers: tuple[Answer, ...], *, dry_run: bool) -> dict[str, object]:
    said = [{"engine": one.engine, "problem": one.problem} for one in answers]
    tree = move.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"move": tree, "dry_run": dry_run, "engines": said, "refused": any(one.problem for one in answers)}


def _silent(line: str) -> None:
    del line
