from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from workers.sampler.ahead import Ahead


def numbers(upto: int, left: threading.Event | None = None) -> Generator[int, None, None]:
    try:
        yield from range(upto)
    finally:
        if left is not None:
            left.set()


def test_items_come_in_order() -> None:
    assert list(Ahead(numbers(50), depth=2, stop=threading.Event())) == list(range(50))


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Generator[int, None, None]:
        yield from (1, 2)
        raise OSError("gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="gone"):
        seen.extend(Ahead(failing(), depth=2, stop=threading.Event()))
    assert seen == [1, 2]


def test_stopping_ends_it_although_the_source_says_nothing() -> None:
    stop, silence = threading.Event(), threading.Event()

    def silent() -> Generator[int, None, None]:
        yield 1
        stop.set()
        silence.wait(10)
        yield 2

    assert 2 not in list(Ahead(silent(), depth=2, stop=stop))
    silence.set()


def test_silence_is_not_waited_out() -> None:
    silence = threading.Event()

    def silent() -> Generator[int, None, None]:
        yield 1
        silence.wait(10)

    items = iter(Ahead(silent(), depth=2, stop=threading.Event(), silence_s=0.1))
    assert next(items) == 1
    with pytest.raises(TimeoutError):
        next(items)
    silence.set()


def test_whoever_leaves_early_has_the_source_closed() -> None:
    left = threading.Event()
    for number in Ahead(numbers(1_000_000, left), depth=2, stop=threading.Event()):
        if number == 3:
            break
    assert left.wait(10)
