from __future__ import annotations

import pytest

from workers.sampler.timeline import Timeline


def test_a_source_that_starts_late_on_its_own_clock_starts_at_zero() -> None:
    assert Timeline(1.4, 0, 10).place(1.4, 0.04) == 0


def test_a_step_back_goes_on_where_time_was() -> None:
    timeline = Timeline(0, 0, 10)
    timeline.place(99.0, 1.0)
    timeline.place(5.0, 1.0)
    timeline.place(6.0, 1.0)
    timeline.place(0.0, 1.0)
    assert timeline.place(1.0, 1.0) == pytest.approx(timeline.end_s - 1)
    assert timeline.end_s == 5


def test_a_short_step_forward_is_missing_media() -> None:
    timeline = Timeline(0, 0, 10)
    timeline.place(0.0, 1.0)
    assert timeline.place(8.0, 1.0) == 8


def test_a_long_step_forward_is_another_programme() -> None:
    timeline = Timeline(0, 0, 10)
    timeline.place(0.0, 1.0)
    assert [timeline.place(5000.0, 1.0), timeline.place(5001.0, 1.0)] == [1, 2]


def test_frames_out_of_order_by_a_little_keep_their_times() -> None:
    timeline = Timeline(0, 0, 10)
    timeline.place(1.0, 0.5)
    assert timeline.place(0.9, 0.5) == pytest.approx(0.9)


def test_an_item_without_a_stamp_follows_the_last() -> None:
    timeline = Timeline(0, 0, 10)
    timeline.place(0.0, 1.0)
    assert timeline.place(None, 1.0) == 1


def test_a_new_connection_begins_where_the_wall_clock_is() -> None:
    assert Timeline(300.0, 42.0, 10).place(300.5, 0.04) == 42.5
