"""An engine that grows beyond its limit says so once it has lasted; one whose models are larger is left alone."""

from __future__ import annotations

import logging

import pytest

from workers.engine.ceiling import LASTING_S, Ceiling


class Process:
    """What it holds, and when."""

    def __init__(self, held_mb: int) -> None:
        self.held_mb = held_mb
        self.now_s = 0.0

    def held(self) -> int:
        return self.held_mb << 20

    def clock(self) -> float:
        return self.now_s


def ceiling(process: Process, limit_mb: int | None = 1000) -> Ceiling:
    return Ceiling(limit_mb, held=process.held, clock=process.clock)


def test_what_lasts_beyond_the_limit_is_told_with_its_size() -> None:
    process = Process(900)
    limit = ceiling(process)
    limit.warm()
    process.held_mb = 1100
    assert limit.passed() is None
    process.now_s += LASTING_S
    assert "1100 MB" in (limit.passed() or "")


def test_what_a_load_takes_for_a_moment_is_no_growth() -> None:
    process = Process(900)
    limit = ceiling(process)
    limit.warm()
    for held_mb in (1100, 900, 1100):
        process.held_mb = held_mb
        assert limit.passed() is None
        process.now_s += LASTING_S / 2


def test_nothing_counts_while_the_models_load() -> None:
    process = Process(1100)
    limit = ceiling(process)
    limit.passed()
    process.now_s += LASTING_S
    assert limit.passed() is None


def test_a_limit_that_the_models_alone_pass_is_not_kept_and_said_to_be_too_low(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process(1100)
    limit = ceiling(process)
    with caplog.at_level(logging.ERROR):
        limit.warm()
    assert "engine.memory_limit_mb" in caplog.text
    limit.passed()
    process.now_s += LASTING_S
    assert limit.passed() is None


def test_without_a_limit_nothing_is_passed() -> None:
    process = Process(900)
    limit = ceiling(process, None)
    limit.warm()
    process.held_mb = 10**6
    limit.passed()
    process.now_s += LASTING_S
    assert limit.passed() is None
