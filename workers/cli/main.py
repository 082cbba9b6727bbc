"""`liverisk`: finds the command, loads its module only then, and turns known errors into one line.

Exit codes: 0 done, 1 nothing found, 2 wrong usage or input, 3 failure.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

COMMANDS = {
    "demo": ("workers.cli.demo", "One machine, everything embedded: sample a bundled livestream, print verdicts."),
    "up": ("workers.cli.up", "Run the embedded stack in the foreground."),
    "worker": ("workers.cli.worker", "Run one worker of a deployment."),
    "engine": ("workers.cli.engine", "Run the engine that owns one device's models."),
    "feeder": ("workers.cli.feeder", "Carry reviews and rescans forward."),
    "sample": ("workers.cli.sample", "Cut a file or live source into segments and queue them."),
    "enqueue": ("workers.cli.enqueue", "Queue ready-made segment manifests."),
    "review": ("workers.cli.review", "Look at a stream again, deeply, and say what live had missed."),
    "rescan": ("workers.cli.rescan", "Look again at recorded segments; status, pause, diff, apply … of such runs."),
    "models": ("workers.cli.models", "Checkpoints: get, check, compare and train them, move them in and out of slots."),
    "verdicts": ("workers.cli.verdicts", "Read results: show, query, compact."),
    "quarantine": ("workers.cli.quarantine", "What keeps failing."),
    "status": ("workers.cli.status", "Lanes, workers, engine, slots: one screen."),
    "score": ("workers.cli.score", "What the models say of one item, no service up."),
    "bench": ("workers.cli.bench", "Measure the pool beside what else could examine the same segments."),
    "config": ("workers.cli.config", "The merged configuration, redacted."),
}
"""Command -> (module with a click command of the same name, its one-line help)."""


class CommandError(click.ClickException):
    """A known failure, told in one line. `exit_code` 1: nothing found, 2: wrong input, 3: failure."""

    def __init__(self, message: str, exit_code: int = 3) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance

    def show(self, file: object = None) -> None:
        click.echo(f"liverisk: {self.message}", err=True)


class Commands(click.Group):
    """Imports a command's module when it is called, so that help and completion stay instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="LIVERISK_CONFIG",
    help="Settings that override the shipped ones.",
)
@click.pass_context
def cli(context: click.Context, config_file: Path | None) -> None:
    """liverisk watches livestreams for risk.

    Start with `liverisk demo`. With `liverisk up` running, every other command finds it.
    """
    context.obj = config_file
    if config_file is not None:
        context.with_resource(_for_children(config_file.resolve()))


@contextmanager
def _for_children(config_file: Path) -> Iterator[None]:
    """Processes that the command starts read the same settings; whoever called the command keeps his own."""
    before = os.environ.get("LIVERISK_CONFIG")
    os.environ["LIVERISK_CONFIG"] = str(config_file)
    try:
        yield
    finally:
        if before is None:
            del os.environ["LIVERISK_CONFIG"]
        else:
            os.environ["LIVERISK_CONFIG"] = before


def main() -> None:
    """The entry point of the `liverisk` command."""
    sys.exit(cli())
