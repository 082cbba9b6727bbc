"""`liverisk metrics`: the pool's metrics for Prometheus, on a port or printed once."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from workers.cli.config import configured
from workers.cli.main import CommandError

PORT = 9464


@click.command()
@click.option("--address", default="127.0.0.1", show_default=True, help="Where to listen; nobody is asked who he is.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535))
@click.option("--once", is_flag=True, help="Print them and end.")
@click.pass_obj
def metrics(chosen: Path | None, address: str, port: int, once: bool) -> None:
    """Serve the whole pool's metrics at /metrics until TERM. One is enough for a pool; two count nothing twice."""
    from prometheus_client import generate_latest, start_http_server

    from workers.metrics.reading import pool_registry

    registry = pool_registry(configured(chosen))
    if once:
        click.echo(generate_latest(registry), nl=False)
        return
    ended = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise CommandError(f"{address}:{port} cannot be listened on ({type(error).__name__})") from None
    click.echo(f"metrics at http://{address}:{server.server_port}/metrics", err=True)
    ended.wait()
    server.shutdown()
    server.server_close()
    thread.join()
