"""The demo's result as one object: what `--json` prints, and what the table is made of."""

from __future__ import annotations

from pathlib import Path

from pydantic import AwareDatetime

from pipelines.policies import Policies
from pipelines.strict import Strict
from workers.demo.run import STREAM_ID, Outcome
from workers.demo.table import Pace, Row, coverage_lines, pace, rows
from workers.runs.reviewed import Finding


class Review(Strict):
    """A deep review that a finding asked for: its stretch, what it found beyond live, where its packet lies."""

    run: str
    stream_id: str
    since: AwareDatetime
    until: AwareDatetime
    reason: str
    segments: int
    found: tuple[Finding, ...]
    texts_missed: int
    page: Path | None


class Report(Strict):
    """`not_as_planted` is empty when the demo holds; `state` is where the records are kept, if they are."""

    stream_id: str
    rows: tuple[Row, ...]
    coverage: tuple[str, ...]
    pace: Pace
    startup_s: float
    not_as_planted: tuple[str, ...]
    state: Path | None
    reviews: tuple[Review, ...] = ()


def report_of(outcome: Outcome, policies: Policies, not_as_planted: tuple[str, ...], state: Path | None) -> Report:
    return Report(
        stream_id=STREAM_ID,
        rows=rows(outcome.records, policies, outcome.start),
        coverage=coverage_lines(outcome.records),
        pace=pace(outcome.records, outcome.wall_s),
        startup_s=outcome.startup_s,
        not_as_planted=not_as_planted,
        state=state,
        reviews=reviews_of(outcome),
    )


def reviews_of(outcome: Outcome) -> tuple[Review, ...]:
    """In order of their runs; none unless reviews were asked for."""
    if outcome.reviews is None:
        return ()
    return tuple(
        Review(
            run=packet.run,
            stream_id=packet.stream_id,
            since=packet.since,
            until=packet.until,
            reason=packet.reason,
            segments=packet.segments,
            found=packet.found,
            texts_missed=sum(text.missed for text in packet.texts),
            page=outcome.reviews.pages.get(packet.run),
        )
        for packet in outcome.reviews.packets
    )
