"""A child begins no segment that it has no time left for."""

from __future__ import annotations

from typing import Any

import pytest

from workers.child import Child
from workers.classify import AWAY, Bench, NotReady
from workers.config import Config
from workers.decoder.contained import Contained, DecoderUnavailable
from workers.lexicons import Lexicons

BENCH: Any = object()


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Passes while something is opened, and only then."""
    clock = Clock()
    monkeypatch.setattr("workers.child.time.monotonic", lambda: clock.now)
    return clock


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> Child:
    monkeypatch.setattr(Bench, "open", lambda *_: BENCH)
    config = Config()
    return Child(config, Lexicons(config.lexicons_directory))


def started_in(monkeypatch: pytest.MonkeyPatch, clock: Clock, *took_s: float) -> None:
    """The decode helper is started, and started again, in so long."""
    left = iter(took_s)

    def started(self: Contained) -> Contained:
        clock.now += next(left)
        return self

    monkeypatch.setattr(Contained, "started", started)


def test_a_message_goes_back_unspent_when_its_child_was_slow_to_open_and_the_next_is_taken(
    child: Child, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in(monkeypatch, clock, 16, 0)
    with pytest.raises(NotReady):
        child.ready()
    assert child.ready() is BENCH


def test_a_child_that_opened_first_is_ready_at_once(
    child: Child, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in(monkeypatch, clock, 16, 0)
    child._open()
    assert child.ready() is BENCH


def test_a_helper_that_takes_a_moment_to_be_replaced_delays_no_message(
    child: Child, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_in(monkeypatch, clock, 1, 2)
    child._open()
    assert child.ready() is BENCH


def test_a_child_that_cannot_open_lives_on_and_says_so_with_its_first_message(
    child: Child, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Any) -> Contained:
        raise DecoderUnavailable("OSError")

    monkeypatch.setattr(Contained, "started", fails)
    child._open()
    assert "child not ready error=DecoderUnavailable" in caplog.text
    with pytest.raises(DecoderUnavailable):
        child.ready()


def test_being_late_is_no_fault_of_the_segment() -> None:
    assert issubclass(NotReady, AWAY)
