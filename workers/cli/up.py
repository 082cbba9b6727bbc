"""`liverisk up`: the whole pool on this machine, in the foreground."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError


@click.command()
@click.option("--concurrency", "-c", type=click.IntRange(1, 512), help="Worker children; a segment each at a time.")
@click.pass_obj
def up(chosen: Path | None, concurrency: int | None) -> None:
    """Run broker, store, engine and a worker until Ctrl-C or TERM. State lies under ./.liverisk/."""
    from workers.stack.pool import LocalPool
    from workers.stack.processes import StackError
    from workers.storage import StorageError

    settings = configured(chosen)
    ending = threading.Event()

    def end(*_: object) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # an impatient second Ctrl-C must not leave half of it running
        ending.set()
        raise KeyboardInterrupt  # also out of a start that is still waiting

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        with LocalPool(settings, concurrency=concurrency, report=click.echo) as pool:
            click.echo(f"state and logs: {pool.config.state_directory}")
            click.echo("try, in another terminal here: liverisk sample FILE --stream my-room; liverisk status")
            while not ending.wait(1.0):
                pool.tend()
    except KeyboardInterrupt:
        pass
    except (StackError, StorageError) as error:
        raise CommandError(str(error)) from None
    click.echo("stopped")
