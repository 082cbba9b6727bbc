"""`liverisk engine`: the process that owns one device's models."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from workers.cli.config import configured
from workers.cli.main import CommandError


@click.command()
@click.option("--for-workers", is_flag=True, help="End when the last worker that uses it is gone.")
@click.option("--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"]))
@click.pass_obj
def engine(chosen: Path | None, for_workers: bool, log_level: str) -> None:
    """Load every slot's checkpoint once and answer the workers of this host."""
    from pipelines.cards import CardError
    from pipelines.checkpoints import CheckpointError
    from workers.engine.errors import AlreadyRunning, EngineBroken
    from workers.engine.server import EngineServer
    from workers.engine.watching import Watcher
    from workers.logs import set_up_logging
    from workers.storage import StorageError
    from workers.watchdog import Watchdog

    settings = configured(chosen)
    set_up_logging(log_level, settings.log.format)
    linger_s = settings.engine.linger_s if for_workers else None
    try:
        watcher = Watcher(settings)
        alive = Watchdog(settings.engine.stuck_s).alive
        server = EngineServer(watcher.load, settings, linger_s=linger_s, watcher=watcher, alive=alive)
        for number in (signal.SIGTERM, signal.SIGINT):
            # From a thread: within the handler, a second signal would wait for the event's lock for ever.
            signal.signal(number, lambda *_: threading.Thread(target=server.stop).start())
        server.run()
    except AlreadyRunning as error:
        if not for_workers:
            raise CommandError(f"another engine serves {error}") from None
    except EngineBroken as error:
        raise CommandError(f"the engine ended: {error}") from None
    except (CardError, CheckpointError, StorageError, ValueError, OSError) as error:
        raise CommandError(f"the engine cannot start: {error}") from None
