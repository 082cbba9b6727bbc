"""The demo's result as one object: what `--json` prints, and what the table is made of."""

from __future__ import annotations

from pathlib import Path

from pipelines.policies import Policies
from pipelines.strict import Strict
from workers.demo.run import STREAM_ID, Outcome
from workers.demo.table import Pace, Row, coverage_lines, pace, rows


class Report(Strict):
    """`not_as_planted` is empty when the demo holds; `state` is where the records are kept, if they are."""

    stream_id: str
    rows: tuple[Row, ...]
    coverage: tuple[str, ...]
    pace: Pace
    startup_s: float
    not_as_planted: tuple[str, ...]
    state: Path | None


def report_of(outcome: Outcome, policies: Policies, not_as_planted: tuple[str, ...], state: Path | None) -> Report:
    return Report(
        stream_id=STREAM_ID,
        rows=rows(outcome.records, policies, outcome.start),
        coverage=coverage_lines(outcome.records),
        pace=pace(outcome.records, outcome.wall_s),
        startup_s=outcome.startup_s,
        not_as_planted=not_as_planted,
        state=state,
    )
