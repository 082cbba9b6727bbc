"""`liverisk rescan status|pause|resume|cancel|diff|apply|undo`: runs that were started."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import click

from workers.cli.asking import asking, on_record
from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    import redis

    from workers.config import Config
    from workers.runs.diff import Diff
    from workers.runs.run import Progress
    from workers.runs.store import Runs
    from workers.storage import Storage

READERS = 8
as_one_object = click.option("--json", "as_json", is_flag=True, help="One JSON object.")


class Move(Protocol):
    def __call__(self, runs: Runs, run: str, by: str, client: redis.Redis) -> None: ...


@contextmanager
def refusals(run_error: int = 3) -> Iterator[None]:
    """Turns what planning, the store and the broker refuse into one line; `run_error` is the code of a `RunError`."""
    import redis

    from pipelines.cards import CardError
    from pipelines.policies import PolicyError
    from workers.config import ConfigError
    from workers.records import RecordError
    from workers.runs.condition import WrongSelection
    from workers.runs.selection import NothingSelected
    from workers.runs.store import NoSuchRun, RunError
    from workers.storage import StorageError
    from workers.verdicts.tables import TablesError

    try:
        yield
    except (NothingSelected, NoSuchRun) as error:
        raise CommandError(str(error), exit_code=1) from None
    except (WrongSelection, PolicyError, ConfigError, CardError) as error:
        raise CommandError(str(error), exit_code=2) from None
    except RunError as error:
        raise CommandError(str(error), exit_code=run_error) from None
    except (StorageError, RecordError, TablesError) as error:
        raise CommandError(str(error)) from None
    except redis.RedisError as error:
        raise CommandError(f"the broker does not answer ({type(error).__name__})") from None


def show_until_over(config: Config, storage: Storage, run: str, *, as_json: bool) -> None:
    """Follows the run to its end and prints what it changed."""
    from workers.cli.following import follow
    from workers.cli.rescan_words import diff_lines
    from workers.runs.diff import read_diff
    from workers.runs.store import Runs

    ended = follow(config, Runs(storage), run)
    if ended.kind != "rescan" or ended.state == "cancelled":
        click.echo(ended.model_dump_json() if as_json else f"{run} is {ended.state}")
    else:
        diff = read_diff(storage, run)
        click.echo(diff.model_dump_json(by_alias=True) if as_json else "\n".join(diff_lines(diff)))
        if not as_json:
            click.echo(f"see more: liverisk rescan diff {run} --html diff.html")
    if ended.state == "cancelled":
        raise CommandError(f"{run} was cancelled with {ended.done} of {ended.selected} segments done")


@click.command()
@click.argument("run", metavar="[ID]", required=False)
@as_one_object
@click.pass_obj
def status(chosen: Path | None, run: str | None, as_json: bool) -> None:
    """Print where a run stands, or all of them: rescans and reviews."""
    from workers.cli.rescan_words import list_lines, status_lines
    from workers.runs.progress import progress
    from workers.runs.store import Runs
    from workers.storage import Storage

    config = configured(chosen)
    with refusals():
        runs = Runs(Storage(config.store))
        with _broker(config) as client:
            if run is not None:
                found = progress(runs, run, client)
                plan = runs.find_plan(run)
                lines = status_lines(found, plan.estimate if plan else None)
                click.echo(found.model_dump_json() if as_json else "\n".join(lines))
                return
            every = _every(runs, client)
    if not every:
        raise CommandError("no run was ever planned", exit_code=1)
    click.echo(json.dumps([one.model_dump(mode="json") for one in every]) if as_json else "\n".join(list_lines(every)))


@click.command()
@click.argument("run", metavar="ID")
@click.pass_obj
def pause(chosen: Path | None, run: str) -> None:
    """Stop a run within a segment of every worker; `resume` goes on where it was."""
    from workers.runs.progress import pause as move

    _moved(chosen, run, move, "paused; `liverisk rescan resume` goes on")


@click.command()
@click.argument("run", metavar="ID")
@click.option("--detach", is_flag=True, help="Return at once instead of showing how it comes on.")
@as_one_object
@click.pass_obj
def resume(chosen: Path | None, run: str, detach: bool, as_json: bool) -> None:
    """Let a paused run go on, and show how it comes on; one that runs already is only shown."""
    from workers.runs.progress import resume as move
    from workers.runs.store import Runs
    from workers.storage import Storage

    config = configured(chosen)
    with refusals(run_error=2):
        storage = Storage(config.store)
        runs = Runs(storage)
        if runs.state(run) not in ("running", "requested"):
            with _broker(config) as client, on_record(storage, run):
                move(runs, run, asking(), client)
    if detach:
        click.echo(f"{run}: goes on")
        return
    with refusals():
        show_until_over(config, storage, run, as_json=as_json)


@click.command()
@click.argument("run", metavar="ID")
@click.pass_obj
def cancel(chosen: Path | None, run: str) -> None:
    """End a run where it is. What it has recorded stays, and nothing becomes current."""
    from workers.runs.progress import cancel as move

    _moved(chosen, run, move, "cancelled")


@click.command()
@click.argument("run", metavar="ID")
@as_one_object
@click.option("--csv", "as_csv", is_flag=True, help="Every change, one a row.")
@click.option("--html", "page_path", type=click.Path(path_type=Path, dir_okay=False), help="A page, into this file.")
@click.pass_obj
def diff(chosen: Path | None, run: str, as_json: bool, as_csv: bool, page_path: Path | None) -> None:
    """Print what a run changed: so far, if it has not finished."""
    from workers.cli.rescan_words import diff_lines
    from workers.runs.diff import read_diff
    from workers.storage import Storage

    if as_json and as_csv:
        raise CommandError("give --json or --csv, not both", exit_code=2)
    with refusals():
        storage = Storage(configured(chosen).store)
        found = read_diff(storage, run)
        if page_path is not None:
            _write_page(page_path, found)
        if as_csv:
            _print_changes(storage, run)
        elif as_json:
            click.echo(found.model_dump_json(by_alias=True))
        else:
            click.echo("\n".join(diff_lines(found)))


@click.command()
@click.argument("run", metavar="ID")
@click.pass_obj
def apply(chosen: Path | None, run: str) -> None:
    """Make a finished run's verdicts the current ones; `undo` takes that back."""
    from workers.runs.applied import apply_run

    _pointed(chosen, run, apply_run, "its verdicts are the current ones; `liverisk rescan undo` takes that back")


@click.command()
@click.argument("run", metavar="ID")
@click.pass_obj
def undo(chosen: Path | None, run: str) -> None:
    """Take an applied run's verdicts back: what was current before it is so again."""
    from workers.runs.applied import undo_run

    _pointed(chosen, run, undo_run, "its verdicts are no longer the current ones")


SUBCOMMANDS = (status, pause, resume, cancel, diff, apply, undo)


def _moved(chosen: Path | None, run: str, move: Move, became: str) -> None:
    from workers.runs.store import Runs
    from workers.storage import Storage

    config = configured(chosen)
    storage = Storage(config.store)
    with refusals(run_error=2), _broker(config) as client, on_record(storage, run):
        move(Runs(storage), run, asking(), client)
    click.echo(f"{run}: {became}")


def _pointed(chosen: Path | None, run: str, point: Callable[[Storage, str, str], None], became: str) -> None:
    from workers.storage import Storage

    storage = Storage(configured(chosen).store)
    with refusals(run_error=2), on_record(storage, run):
        point(storage, run, asking())
    click.echo(f"{run}: {became}")


@contextmanager
def _broker(config: Config) -> Iterator[redis.Redis]:
    from workers.state import connect

    client = connect(config)
    try:
        yield client
    finally:
        client.close()


def _every(runs: Runs, client: redis.Redis) -> list[Progress]:
    """All runs, oldest first; what was left half planned is none."""
    with ThreadPoolExecutor(READERS) as pool:
        found = pool.map(partial(_stands, runs, client), runs.ids())
        return sorted((one for one in found if one is not None), key=lambda one: one.created_at)


def _stands(runs: Runs, client: redis.Redis, run: str) -> Progress | None:
    """One whose objects are damaged is named, and hides no other."""
    from workers.runs.progress import progress
    from workers.runs.store import NoSuchRun, RunError

    try:
        return progress(runs, run, client)
    except NoSuchRun:
        return None
    except RunError as error:
        click.echo(f"liverisk: {error}", err=True)
        return None


def _write_page(path: Path, found: Diff) -> None:
    from workers.runs.diff_page import page

    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror or type(error).__name__}", exit_code=2) from None
    click.echo(f"written: {path}", err=True)


def _print_changes(storage: Storage, run: str) -> None:
    from tempfile import TemporaryDirectory

    from workers.runs.diff import save_changes

    with TemporaryDirectory(prefix="liverisk-diff-") as folder:
        path = Path(folder, "diff.csv")
        save_changes(storage, run, path)
        with path.open(encoding="utf-8", newline="") as lines:
            sys.stdout.writelines(lines)
