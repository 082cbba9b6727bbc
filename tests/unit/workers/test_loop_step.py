"""What counts as a worker's loop going round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from workers import loop_step
from workers.config import Config, Worker
from workers.loop_step import LoopStep


class Dog:
    """Notes what it is told."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.told: list[str] = []

    def alive(self) -> None:
        self.told.append("alive")

    def rest(self) -> None:
        self.told.append("rest")


class Hub:
    """Calls when it is told to."""

    def call_repeatedly(self, every_s: float, call: Callable[[], None]) -> SimpleNamespace:
        self.go_round = call
        return SimpleNamespace(cancel=lambda: None)


@pytest.fixture
def consumer() -> SimpleNamespace:
    app = SimpleNamespace(liverisk_config=Config(worker=Worker(stuck_s=60)))
    return SimpleNamespace(app=app, hub=Hub(), task_consumer=SimpleNamespace(looked_at=math.inf), steps=[])


@pytest.fixture
def step(consumer: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> LoopStep:
    monkeypatch.setattr(loop_step, "Watchdog", Dog)
    return LoopStep(consumer)


def told(step: LoopStep) -> list[str]:
    dog: Any = step._watchdog
    said: list[str] = dog.told
    return said


@pytest.mark.parametrize("ago_s", [-math.inf, 0.0, 50.0])
def test_a_loop_that_goes_round_and_looks_for_messages_is_alive(
    ago_s: float, step: LoopStep, consumer: SimpleNamespace
) -> None:
    step.start(consumer)
    consumer.task_consumer.looked_at = time.monotonic() - ago_s
    consumer.hub.go_round()
    assert told(step) == ["alive", "alive"]


def test_a_loop_that_looks_for_no_more_messages_is_not(step: LoopStep, consumer: SimpleNamespace) -> None:
    step.start(consumer)
    consumer.task_consumer.looked_at = time.monotonic() - 70
    consumer.hub.go_round()
    assert told(step) == ["alive"]


def test_without_a_connection_nothing_is_expected(step: LoopStep, consumer: SimpleNamespace) -> None:
    step.start(consumer)
    step.stop(consumer)
    assert told(step)[-1] == "rest"
