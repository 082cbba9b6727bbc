"""What the demo prints: progress while it runs, then a table and what to try next."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipelines.record import Severity
from workers.demo.clock import clock, on_clock
from workers.demo.report import Review
from workers.demo.run import STREAM_ID, Progress
from workers.demo.table import Pace, Row
from workers.verdicts.show import printable

COLUMNS = 100
PLAIN_EVERY_S = 10.0
"""How often a log gets a line of progress; a terminal's line is redrawn."""
NEXT_STEPS = (
    ("let what is found start deep reviews, and read their packets in a browser", ("demo --review",)),
    ("run the pool in the foreground", ("up",)),
    (
        "in another terminal: let it watch a video of yours, then read what it found",
        ("sample your.mp4 --stream my-room", "verdicts show my-room"),
    ),
    ("ask the models about one line, no pool needed", ("score --text '加微信 vx8888 保证每天赚三千'",)),
)
STYLES: dict[Severity, str] = {"none": "green", "low": "yellow", "medium": "dark_orange", "high": "bold red"}


def console_on(*, stderr: bool) -> Console:
    """At most `COLUMNS` wide, and exactly that in a log; never reads markup out of what streamers wrote."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    console.width = min(console.width, COLUMNS) if console.is_terminal else COLUMNS
    return console


class ProgressLine:
    """One line that is redrawn on a terminal, or a new line now and then in a log. A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, transient=True, refresh_per_second=4) if console.is_terminal else None
        self._printed = (-1, 0.0)

    def say(self, line: str) -> None:
        self._console.print(line)

    def tell(self, progress: Progress) -> None:
        if self._live is not None:
            if not self._live.is_started:
                self._live.start()
            self._live.update(_in_words(progress))
            return
        done, at = self._printed
        finished = progress.done == progress.total
        if progress.done and progress.done != done and (finished or time.monotonic() - at > PLAIN_EVERY_S):
            self._console.print(_in_words(progress))
            self._printed = (progress.done, time.monotonic())

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()


def print_rows(console: Console, rows: Sequence[Row]) -> None:
    """The table of what was found, by time."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("time", no_wrap=True)
    table.add_column("policy", max_width=20)
    table.add_column("severity", no_wrap=True)
    table.add_column("action", no_wrap=True)
    table.add_column("what was seen")
    for row in rows:
        flagged = row.policy is not None
        table.add_row(
            f"{clock(row.from_s)}-{clock(row.to_s)}",
            row.title or "-",
            Text(row.severity, STYLES[row.severity]) if flagged else "-",
            row.action if flagged else "-",
            "\n".join(row.seen),
        )
    console.print(table)


def print_summary(console: Console, coverage: Sequence[str], pace: Pace) -> None:
    """What was examined, and how fast."""
    console.print("examined:")
    for line in coverage:
        console.print(f"  {line}")
    console.print(
        f"pace: {pace.segments} segments, {pace.stream_s:.0f} s of stream in {pace.wall_s:.0f} s "
        f"({pace.stream_s / pace.wall_s:.1f} times real time)"
    )
    console.print(f"  a segment, from fetching to its record: p50 {pace.work_p50_s:.1f} s, p95 {pace.work_p95_s:.1f} s")


def print_reviews(console: Console, reviews: Sequence[Review], start: datetime) -> None:
    """What deep reviews found that live had not, and where their packets lie."""
    for review in reviews:
        since, until = (clock(on_clock(moment, start)) for moment in (review.since, review.until))
        console.print(f"\ndeep review of {review.stream_id}, {since}-{until}, {review.segments} segments")
        console.print(f"  asked for by: {review.reason or 'nobody said'}", soft_wrap=True)
        for one in review.found:
            at, text = clock(on_clock(one.first, start)), f": “{printable(one.text)}”" if one.text else ""
            seen = f" in {one.modality}" if one.modality else ""
            console.print(f"  beyond live: {one.policy} {one.kind} at {at}{seen}{text}", soft_wrap=True)
        if review.texts_missed:
            console.print(f"  beyond live: texts that speak for a policy, {review.texts_missed} in all")
        if not review.found and not review.texts_missed:
            console.print("  beyond live: nothing")
        if review.page is not None:
            console.print(f"  its packet: {review.page}", soft_wrap=True)


def print_next_steps(console: Console, kept: Path | None) -> None:
    """Commands that follow naturally, spelt so that they can be pasted."""
    program = _program()
    if kept is not None:
        console.print(f"\nThe demo's records are kept in {kept}. To read them:", soft_wrap=True)
        console.print(f"  export LIVERISK__STATE_DIRECTORY={kept}", soft_wrap=True)
        console.print(f"  {program} up", soft_wrap=True)
        console.print(f"  {program} verdicts show {STREAM_ID}    (in another terminal, after the same export)")
    console.print("\nWhat to try next:")
    for purpose, commands in NEXT_STEPS:
        console.print(f"  # {purpose}")
        for command in commands:
            console.print(f"  {program} {command}", soft_wrap=True)


def _in_words(progress: Progress) -> str:
    parts = [f"{progress.done}/{progress.total} segments examined"]
    if progress.sampled < progress.total:
        parts.append(f"{progress.sampled} sampled")
    if progress.done:
        parts.append(f"{progress.elapsed_s / progress.done:.1f} s each")
    flagged = ", ".join(f"{policy} {count}" for policy, count in progress.flagged)
    parts.append(f"above watch: {flagged or 'nothing yet'}")
    return "; ".join(parts)


def _program() -> str:
    """How this command was called, unless its name suffices."""
    called = Path(sys.argv[0])
    if called.name != "liverisk" or shutil.which("liverisk") is not None:
        return "liverisk"
    return str(called.relative_to(Path.cwd()) if called.is_relative_to(Path.cwd()) else called)
