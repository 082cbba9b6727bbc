"""`liverisk worker`: one Celery prefork worker, with the engine of its host unless told otherwise."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.asking import on_record
from workers.cli.config import configured
from workers.cli.main import CommandError
from workers.lanes import LANES

if TYPE_CHECKING:
    from pipelines.policies import Policies
    from workers.config import Config
    from workers.storage import Storage


@click.command()
@click.option("--concurrency", "-c", type=click.IntRange(1, 512), help="Child processes; a segment each at a time.")
@click.option("--lanes", help="Lanes to serve, most urgent first, for instance live,review.")
@click.option("--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING"]))
@click.pass_obj
def worker(chosen: Path | None, concurrency: int | None, lanes: str | None, log_level: str) -> None:
    """Run one worker of a deployment. TERM finishes the running segments and ends.

    One that does not serve the lane live gives way to those that do, where they share processors.
    """
    from workers.app import make_app
    from workers.broker.checks import check_broker
    from workers.deployment import check_deployment
    from workers.logs import set_up_logging
    from workers.storage import Storage, StorageError

    settings = configured(chosen)
    serve = tuple(lanes.split(",")) if lanes else settings.worker.lanes
    _check_lanes(serve)
    set_up_logging(log_level, settings.log.format)
    try:
        policies, _ = check_deployment(settings)
        check_broker(settings)
        if LANES[0] not in serve:
            _give_way()  # before the application, whose children start their decode helpers as soon as they are there
        app = make_app(settings)
        app.liverisk_lexicons.current().warm_up()  # before the fork: children share it, and have at least this one
        store = Storage(settings.store)
        store.make_bucket()
        store.check_writes_once()
        _note_start(settings, store, policies, serve)
    except (ValueError, StorageError) as error:
        raise CommandError(str(error)) from None
    leave_no_folder()
    children = concurrency or settings.worker.concurrency
    options = [f"--queues={','.join(serve)}", f"--concurrency={children}", f"--hostname=liverisk-{os.getpid()}@%h"]
    alone = ["--pool=prefork", "--without-gossip", "--without-mingle"]
    app.worker_main(["worker", *options, f"--loglevel={log_level}", *alone])
    sys.exit(app.liverisk_exit_code)  # Celery itself ends with 0 whatever happened


def leave_no_folder() -> None:
    """Celery's pool counts in a nameless file of a folder made for it, which a worker that is killed would leave."""
    multiprocessing.current_process()._config["tempdir"] = tempfile.gettempdir()  # type: ignore[attr-defined]


def _note_start(settings: Config, storage: Storage, policies: Policies, lanes: Sequence[str]) -> None:
    """The audit log has which policies are in force from when on, and their text; the key of user ids is there."""
    from workers.audit import keep_policies
    from workers.privacy.pseudonyms import Pseudonyms

    Pseudonyms.of(settings)  # made before there are children
    new = keep_policies(storage, policies)
    with on_record(storage, " ".join(lanes), policies=policies.digest, policies_first_seen=new):
        pass


def _check_lanes(serve: Sequence[str]) -> None:
    if unknown := set(serve) - set(LANES):
        raise CommandError(f"--lanes: no lane {sorted(unknown)[0]}; there are {', '.join(LANES)}", exit_code=2)
    in_order = [lane for lane in LANES if lane in serve]
    if list(serve) != in_order:
        raise CommandError(f"--lanes: the order is the priority; write {','.join(in_order)}", exit_code=2)


def _give_way() -> None:
    """For the session and the children: an engine that this worker starts serves live work too, and inherits."""
    from celery.signals import worker_process_init

    from workers.giving_way import NICE, let_session_give_way

    let_session_give_way()
    worker_process_init.connect(lambda **_: os.nice(NICE), weak=False)
