"""`liverisk up`: the whole pool on this machine, in the foreground."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError

LOOK_S = 0.5


@click.command()
@click.option("--concurrency", "-c", type=click.IntRange(1, 512), help="Children for live; a segment each at a time.")
@click.option(
    "--bulk-concurrency", type=click.IntRange(1, 512), help="Children for reviews and rescans; as many, unless given."
)
@click.pass_obj
def up(chosen: Path | None, concurrency: int | None, bulk_concurrency: int | None) -> None:
    """Run broker, store, engine and two workers until Ctrl-C or TERM. State lies under ./.liverisk/.

    One worker takes live segments, the other reviews and rescans: bulk work never holds up a live segment.
    """
    from workers.stack.pool import LocalPool, StartAbandoned
    from workers.stack.processes import StackError
    from workers.storage import StorageError

    settings = configured(chosen)
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        # Noted, not raised: an exception would strike anywhere, also between a fork and the note of its child.
        signal.signal(number, lambda number, _: told.append(number))
    try:
        with LocalPool(
            settings,
            concurrency=concurrency,
            bulk_concurrency=bulk_concurrency,
            report=click.echo,
            ending=lambda: bool(told),
        ) as pool:
            click.echo(f"state and logs: {pool.config.state_directory}")
            click.echo("try, in another terminal here: liverisk sample FILE --stream my-room; liverisk status")
            while not told:
                pool.tend()
                time.sleep(LOOK_S)
    except StartAbandoned:
        pass
    except (StackError, StorageError) as error:
        raise CommandError(str(error)) from None
    click.echo("stopped")
