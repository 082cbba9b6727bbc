"""`liverisk feeder`: the process that carries reviews and rescans forward."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError


@click.command()
@click.option("--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"]))
@click.pass_obj
def feeder(chosen: Path | None, log_level: str) -> None:
    """Plan reviews and feed their segments, and those of rescans, to the workers. Several may run; one works."""
    from workers.broker.checks import check_broker
    from workers.giving_way import give_way
    from workers.logs import set_up_logging
    from workers.publish import PublishError
    from workers.runs.feeder import Feeder
    from workers.storage import StorageError
    from workers.watchdog import Watchdog

    settings = configured(chosen)
    set_up_logging(log_level, settings.log.format)
    give_way()
    for number in (signal.SIGTERM, signal.SIGINT):
        # No event is set: a second signal within the first would wait for its lock for ever. It may end anywhere.
        signal.signal(number, lambda *_: sys.exit(0))
    try:
        check_broker(settings)
        working = Feeder(settings, alive=Watchdog(settings.runs.stuck_s).alive)
    except (ValueError, PublishError, StorageError) as error:
        raise CommandError(f"the feeder cannot start: {error}") from None
    try:
        working.run_forever(threading.Event())
    finally:
        working.close()
