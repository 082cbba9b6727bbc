from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from workers.cli.moment import Moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-10", datetime(2026, 3, 10, tzinfo=UTC)),
        ("2026-03-10T20:00", datetime(2026, 3, 10, 20, tzinfo=UTC)),
        ("2026-03-10T20:00:00Z", datetime(2026, 3, 10, 20, tzinfo=UTC)),
        ("2026-03-11T04:00+08:00", datetime(2026, 3, 10, 20, tzinfo=UTC)),
    ],
)
def test_a_time_without_an_offset_is_utc(text: str, moment: datetime) -> None:
    assert Moment().convert(text, None, None) == moment


@pytest.mark.parametrize(("text", "back"), [("90m", timedelta(minutes=90)), ("3d", timedelta(days=3))])
def test_a_length_of_time_counts_back_from_now(text: str, back: timedelta) -> None:
    before = datetime.now(UTC)

    assert before - back <= Moment().convert(text, None, None) <= datetime.now(UTC) - back


@pytest.mark.parametrize("text", ["tuesday", "2h30", "99999999999d", "", "0001-01-01T00:00+14:00"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="2026-03-10T20:00"):
        Moment().convert(text, None, None)
