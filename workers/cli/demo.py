"""`liverisk demo`: everything on one machine, over a bundled livestream whose risks are known."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from workers.cli.config import configured
from workers.cli.main import CommandError

if TYPE_CHECKING:
    from workers.config import Config
    from workers.demo.programme import Planted
    from workers.demo.run import Outcome

PAGES = "demo"
"""Below the state directory: what the demo's reviews leave to read."""


@click.command()
@click.option("--concurrency", "-c", type=click.IntRange(1, 64), default=2, show_default=True, help="Worker children.")
@click.option("--keep", is_flag=True, help="Leave broker, store and records where they are, to read them later.")
@click.option("--review", is_flag=True, help="Let findings start deep reviews, and save their packets.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object; progress goes to the error stream.")
@click.pass_obj
def demo(chosen: Path | None, concurrency: int, keep: bool, review: bool, as_json: bool) -> None:
    """Sample a bundled livestream with everything embedded and print the verdicts.

    Ends with 3 when something planted in the stream was missed, or something harmless was flagged. What is planted
    for deep reviews alone is looked for with --review.
    """
    from workers.demo.check import deep_shortfalls, shortfalls
    from workers.demo.programme import read_planted

    settings, planted = configured(chosen), read_planted()
    try:
        with _interruptible(), _state_of_its_own(settings, keep=keep) as state:
            pages = settings.state_directory.resolve() / PAGES if review else None
            outcome = _run(settings.model_copy(update={"state_directory": state}), planted, concurrency, pages)
    except KeyboardInterrupt:
        raise CommandError("stopped before the end") from None
    wrong = shortfalls(outcome.records, planted, outcome.start)
    if outcome.reviews is not None:
        wrong += deep_shortfalls(outcome.reviews.records, planted, outcome.start)
    _print(outcome, settings, wrong, state if keep else None, as_json=as_json)
    if wrong:
        raise CommandError(f"{len(wrong)} things are not as planted")


def _run(settings: Config, planted: Planted, concurrency: int, pages: Path | None) -> Outcome:
    from workers.demo.printing import ProgressLine, console_on
    from workers.demo.run import DemoError, demonstrate
    from workers.publish import PublishError
    from workers.sampler.run import SampleError
    from workers.stack.processes import StackError
    from workers.storage import StorageError

    try:
        with ProgressLine(console_on(stderr=True)) as line:
            return demonstrate(settings, planted, concurrency=concurrency, say=line.say, tell=line.tell, pages=pages)
    except (DemoError, PublishError, SampleError, StackError, StorageError) as error:
        raise CommandError(str(error)) from None


def _print(outcome: Outcome, settings: Config, wrong: tuple[str, ...], kept: Path | None, *, as_json: bool) -> None:
    from pipelines.policies import read_policies
    from workers.demo import printing
    from workers.demo.report import report_of

    report = report_of(outcome, read_policies(settings.policies_file), wrong, kept)
    if as_json:
        click.echo(report.model_dump_json())
        return
    console = printing.console_on(stderr=False)
    printing.print_rows(console, report.rows)
    printing.print_summary(console, report.coverage, report.pace)
    printing.print_reviews(console, report.reviews, outcome.start)
    for line in report.not_as_planted:
        console.print(f"not as planted: {line}", soft_wrap=True)
    if not report.not_as_planted:
        console.print("as planted: every risk was found where it is, and nothing benign rose above watch")
    printing.print_next_steps(console, kept)


@contextmanager
def _state_of_its_own(settings: Config, *, keep: bool) -> Iterator[Path]:
    """A fresh folder below the state directory, so that a running pool is not disturbed.

    Removed at the end, unless somebody wants it or needs its logs to see what went wrong.
    """
    settings.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = Path(tempfile.mkdtemp(prefix="demo-", dir=settings.state_directory)).resolve()
    try:
        yield state
    except CommandError:
        raise
    except BaseException:
        _remove(state)
        raise
    if not keep:
        _remove(state)


def _remove(state: Path) -> None:
    shutil.rmtree(state, ignore_errors=True)
    with suppress(OSError):
        state.parent.rmdir()  # succeeds only when nothing else is in it


@contextmanager
def _interruptible() -> Iterator[None]:
    """TERM ends the pool as Ctrl-C does, and a second signal does not leave half of it running."""

    def end(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
