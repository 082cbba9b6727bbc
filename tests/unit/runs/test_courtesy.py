"""How work without models waits for live work."""

from __future__ import annotations

import pytest

from workers.runs.courtesy import LONGEST_S, Courtesy


class Busy:
    """An engine that live never leaves, and a clock that moves with the waiting."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits: list[float] = []

    def wait_quiet(self, within_s: float) -> None:
        self.waits.append(round(within_s, 3))
        self.now += within_s


def worked(share: float, *pieces_s: float) -> list[float]:
    engine = Busy()
    courtesy = Courtesy(engine, share, clock=lambda: engine.now)
    for piece_s in pieces_s:
        engine.now += piece_s
        courtesy.give_way()
    return engine.waits


def test_beside_live_work_takes_its_share_of_the_time() -> None:
    assert worked(0.1, 0.02, 0.03) == [0.18, 0.27]
    assert worked(0.5, 0.02) == [0.02]


@pytest.mark.parametrize("share", [0, 0.001])
def test_no_wait_is_so_long_that_a_pause_goes_unseen(share: float) -> None:
    assert worked(share, 0.02) == [LONGEST_S]


def test_a_share_of_everything_waits_for_nobody() -> None:
    assert worked(1, 0.02) == []
