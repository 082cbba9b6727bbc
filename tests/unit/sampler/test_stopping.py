from __future__ import annotations

import signal

import pytest

from tests.conftest import wait_for
from workers.cli.sample import stopped_by_signal


def test_a_signal_that_strikes_inside_the_event_it_sets_still_stops() -> None:
    with stopped_by_signal() as stop:
        with stop._cond:  # type: ignore[attr-defined]  # held whenever the main thread sets, or begins to wait
            signal.raise_signal(signal.SIGTERM)
        wait_for(stop.is_set, "sampling is told to stop")


def test_a_second_signal_has_its_usual_effect() -> None:
    with stopped_by_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert stop.is_set()


def test_afterwards_signals_are_handled_as_before() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stopped_by_signal():
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before
