"""From one segment's cost to a platform's: plain arithmetic, and where it stops being linear."""

from __future__ import annotations

import pytest

from workers.bench.fleet import Assumptions, Costs, fleet

COSTS = Costs(
    core_s={"busy": 2.0, "quiet": 0.2, "flood": 1.0},
    broker_commands=20,
    store_reads=3,
    store_writes=3,
    media_bytes=1e6,
    record_bytes=1e4,
)
ASSUMED = Assumptions(shapes={"busy": 0.5, "quiet": 0.5, "flood": 0.0}, used=0.5)


def test_a_thousand_streams_give_a_hundred_segments_a_second() -> None:
    needed = fleet(1000, COSTS, ASSUMED)
    assert needed.segments_s == 100
    assert needed.cores == 220
    assert needed.hosts == 14
    assert needed.brokers == 1


def test_ten_times_the_streams_need_ten_times_the_cores() -> None:
    assert fleet(100_000, COSTS, ASSUMED).cores == pytest.approx(100 * fleet(1000, COSTS, ASSUMED).cores, rel=0.01)


def test_a_broker_is_the_first_thing_there_must_be_more_than_one_of() -> None:
    assert fleet(100_000, COSTS, ASSUMED).brokers == 3


def test_media_are_held_as_long_as_assumed() -> None:
    assert fleet(1000, COSTS, ASSUMED).media_tb == pytest.approx(100 * 86400 * 7 * 1e6 / 1e12)
