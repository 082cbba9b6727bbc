"""What `liverisk rescan` says of a forecast and of where a run stands."""

from __future__ import annotations

import pytest

from tests.records import START
from workers.cli.following import in_words, span
from workers.cli.rescan_words import forecast_lines, status_lines
from workers.runs.dry_run import Forecast
from workers.runs.run import Progress

SAMPLED = Forecast(
    selected=300,
    streams=2,
    busiest={"room-1": 200, "room-2": 100},
    stages={"text": 290},
    reused={},
    unchanged=10,
    policies="a" * 64,
    checkpoints={},
    estimate=None,
    sampled=20,
    segments_changed=3,
    changes={"flagged": 3},
    by_policy={"scam": {"flagged": 3}},
    media_expired=0,
    unexaminable=0,
)
RUNNING = Progress(
    run="rescan-1",
    kind="rescan",
    state="running",
    lane="rescan",
    selected=300,
    recorded=100,
    unexaminable=2,
    examined=8,
    waiting=190,
    changes=5,
    created_at=START,
    rate_per_s=1.5,
    eta_s=9000.0,
)


def test_a_sample_speaks_for_the_whole() -> None:
    assert "3 would change (about 45 of all 300): 3 newly flagged" in "\n".join(forecast_lines(SAMPLED))


def test_a_sample_of_which_some_could_not_be_tried_speaks_for_itself_alone() -> None:
    untried = SAMPLED.model_copy(
        update={"sampled": 1, "segments_changed": 0, "changes": {}, "unknown": ("no engine answers here: not tried",)}
    )
    told = "\n".join(forecast_lines(untried))

    assert "of 1 sampled, 0 would change: nothing" in told
    assert "of all 300" not in told
    assert "not known: no engine answers here" in told


def test_a_reason_stays_on_its_line_and_steers_no_terminal() -> None:
    asked = RUNNING.model_copy(update={"reason": "look\n\x1b[2Jhere"})

    (line,) = [line for line in status_lines(asked) if "look" in line]

    assert line.endswith(": look  [2Jhere")


@pytest.mark.parametrize(("seconds", "words"), [(40, "40 s"), (720, "12 min"), (12600, "3.5 h")])
def test_a_span_is_told_in_the_unit_that_people_count_in(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_what_is_left_of_a_long_run_is_told_in_hours() -> None:
    assert in_words(RUNNING).endswith("1.5/s, 2.5 h left, 5 changes, 2 not examinable")
