"""Which streams a canary takes: always the same, about as many as were asked for."""

from __future__ import annotations

import pytest

from workers.registry.streams import takes

STREAMS = [f"room-{number}" for number in range(2000)]


def taken(slot: str, share: float) -> set[str]:
    return {stream for stream in STREAMS if takes(slot, stream, share)}


@pytest.mark.parametrize("share", [1, 10, 50])
def test_a_canary_takes_about_its_share_of_the_streams(share: float) -> None:
    expected = share / 100 * len(STREAMS)
    assert abs(len(taken("text.risk", share)) - expected) < 4 * (expected * (1 - share / 100)) ** 0.5


def test_a_stream_stays_with_its_canary_between_processes_and_machines() -> None:
    first = [stream for stream in STREAMS[:40] if takes("text.risk", stream, 10)]
    assert first == ["room-3", "room-4", "room-10", "room-31", "room-32"]


def test_a_larger_share_keeps_the_streams_of_the_smaller() -> None:
    assert taken("text.risk", 5) < taken("text.risk", 20)


def test_two_slots_try_their_canaries_on_different_streams() -> None:
    assert taken("text.risk", 10) != taken("vision.nudity", 10)


def test_nothing_and_everything_are_shares_too() -> None:
    assert taken("text.risk", 0) == set()
    assert taken("text.risk", 100) == set(STREAMS)
