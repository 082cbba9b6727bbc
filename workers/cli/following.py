"""A run as whoever started it sees it: a bar with rate and ETA on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import redis
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from workers.config import Config
    from workers.runs.run import Progress
    from workers.runs.store import Runs

UNFED_S = 10.0
"""Without a feeder for this long, somebody should start one."""
LOG_EVERY_S = 30.0
DETACHED = 130
"""Exit code after Ctrl-C, as of any program that was interrupted."""


def follow(config: Config, runs: Runs, run: str, *, every_s: float = 1.0) -> Progress:
    """Shows how a run comes on until it is finished or cancelled, and returns where it then stands.

    The store or the broker may be away for a time: the run outlives that, and so does this. Ctrl-C ends the
    command and leaves the run alone. Raises `NoSuchRun`.
    """
    from workers.state import connect

    with connect(config) as client:
        try:
            return _until_over(runs, run, client, every_s)
        except KeyboardInterrupt:
            click.echo(f"\n{run} goes on without this command.", err=True)
            click.echo(f"  see it: liverisk rescan status {run}   end it: liverisk rescan cancel {run}", err=True)
            raise click.exceptions.Exit(DETACHED) from None


def _until_over(runs: Runs, run: str, client: redis.Redis, every_s: float) -> Progress:
    unfed_since: float | None = None
    told = False
    with _shown(run) as show:
        while True:
            found = _look(runs, run, client)
            show(found)
            if isinstance(found, str):
                unfed_since = None
            elif found.state in ("finished", "cancelled"):
                return found
            elif found.state == "paused" or _is_fed(client):
                unfed_since = None
            else:
                unfed_since = unfed_since or time.monotonic()
                if not told and time.monotonic() - unfed_since > UNFED_S:
                    told = True
                    click.echo(
                        "liverisk: no feeder is running, so nothing moves; start `liverisk up`, a worker, "
                        "or `liverisk feeder`",
                        err=True,
                    )
            time.sleep(every_s)


def _look(runs: Runs, run: str, client: redis.Redis) -> Progress | str:
    """Where the run stands, or who does not answer."""
    import redis as client_library

    from workers.runs.progress import progress
    from workers.storage import StorageError

    try:
        return progress(runs, run, client)
    except client_library.RedisError:
        return "waiting: the broker does not answer"
    except StorageError:
        return "waiting: the store does not answer"


def _is_fed(client: redis.Redis) -> bool:
    import redis as client_library

    from workers.runs.lease import FEEDER_KEY

    try:
        return bool(client.exists(FEEDER_KEY))
    except client_library.RedisError:
        return True


class _Log:
    """A line when the state changes, and otherwise every `LOG_EVERY_S`."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._state = ""
        self._at = 0.0

    def __call__(self, found: Progress | str) -> None:
        state = found if isinstance(found, str) else found.state
        if state == self._state and time.monotonic() - self._at < LOG_EVERY_S:
            return
        self._state, self._at = state, time.monotonic()
        click.echo(f"{self._run}: {found if isinstance(found, str) else in_words(found)}", err=True)


class _Drawn:
    """A bar that fills."""

    def __init__(self, bar: Bar, task: TaskID) -> None:
        self._bar, self._task = bar, task

    def __call__(self, found: Progress | str) -> None:
        if isinstance(found, str):
            self._bar.update(self._task, words=found)
        else:
            total = found.selected or None
            self._bar.update(self._task, total=total, completed=found.done, words=in_words(found, counted=False))


@contextmanager
def _shown(run: str) -> Iterator[_Log | _Drawn]:
    if not sys.stderr.isatty():
        yield _Log(run)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[words]}", markup=False))
    with Progress(TextColumn(run, markup=False), *columns, console=Console(stderr=True)) as bar:
        yield _Drawn(bar, bar.add_task(run, total=None, words=""))


def in_words(found: Progress, *, counted: bool = True) -> str:
    """`running, 12 of 300 segments, 4.1/s, 70 s left, 3 changes`; without the count where a bar shows it."""
    words: list[str] = [found.state]
    if counted and found.selected:
        words.append(f"{found.done} of {found.selected} segments")
    if found.state == "running" and found.rate_per_s:
        words.append(f"{found.rate_per_s:.2g}/s")
    if found.state == "running" and found.eta_s is not None:
        words.append(f"{span(found.eta_s)} left")
    if found.changes:
        words.append(f"{found.changes} changes")
    if found.unexaminable:
        words.append(f"{found.unexaminable} not examinable")
    return ", ".join([*words, *([found.detail] if found.detail else [])])


def span(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
