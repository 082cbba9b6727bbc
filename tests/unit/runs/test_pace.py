from __future__ import annotations

from workers.runs.pace import Pace


def test_a_rate_needs_two_steps() -> None:
    pace = Pace()
    pace.note(0, 0)
    assert pace.rate(5) is None
    pace.note(10, 50)
    assert pace.rate(10) == 5


def test_a_rate_falls_while_nothing_comes() -> None:
    pace = Pace()
    pace.note(0, 0)
    pace.note(10, 50)
    assert pace.rate(20) == 2.5


def test_a_rate_speaks_of_the_last_minutes_and_keeps_few_steps() -> None:
    pace = Pace()
    for second in range(1000):
        pace.note(second, second if second < 500 else 500 + 3 * (second - 500))
    assert pace.rate(999) == 3
    assert len(pace._steps) < 130
