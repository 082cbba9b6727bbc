from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.conftest import wait_for
from workers.cli.sample import stopped_by_signal


def test_a_signal_that_strikes_inside_the_event_it_sets_still_stops() -> None:
    with stopped_by_signal() as stop:
        with stop._cond:  # type: ignore[attr-defined]  # held whenever the main thread sets, or begins to wait
            signal.raise_signal(signal.SIGTERM)
        wait_for(stop.is_set, "sampling is told to stop")


@pytest.fixture
def usual_effect() -> Iterator[list[int]]:
    """What an interrupt does otherwise: a shell starts what runs in the background with interrupts ignored."""
    struck: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: struck.append(number))
    yield struck
    signal.signal(signal.SIGINT, before)


def test_a_second_signal_has_its_usual_effect(usual_effect: list[int]) -> None:
    with stopped_by_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert usual_effect == []
        signal.raise_signal(signal.SIGINT)
        assert usual_effect == [signal.SIGINT]
        wait_for(stop.is_set, "sampling is told to stop")


def test_afterwards_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signal():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
