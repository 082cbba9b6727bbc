"""Takes items on a thread of their own, so that a source that says nothing holds up neither pacing nor signals."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

LOOK_UP_S = 0.2
"""How often either side looks whether the other has gone."""


class _End(Exception):
    """Put after the last item."""


class Ahead(Generic[T]):
    """The same items in the same order, at most `depth` of them waiting. Ends early when `stop` is set."""

    def __init__(
        self, items: Generator[T, None, None], *, depth: int, stop: threading.Event, silence_s: float = math.inf
    ) -> None:
        """Waiting longer than `silence_s` for an item is a `TimeoutError`."""
        self._silence_s = silence_s
        self._items = items
        self._box: queue.Queue[tuple[T | None, Exception | None]] = queue.Queue(depth)
        self._stop = stop
        self._left = threading.Event()

    def __iter__(self) -> Iterator[T]:
        """Raises what the items raised, after the items before it."""
        thread = threading.Thread(target=self._fill, name="source", daemon=True)
        thread.start()
        heard = time.monotonic()
        try:
            while not self._stop.is_set():
                try:
                    item, error = self._box.get(timeout=LOOK_UP_S)
                except queue.Empty:
                    if time.monotonic() - heard > self._silence_s:
                        raise TimeoutError from None
                    continue
                if isinstance(error, _End):
                    return
                if error is not None:
                    raise error
                assert item is not None
                yield item
                heard = time.monotonic()
        finally:
            self._left.set()
            thread.join(timeout=2)

    def _fill(self) -> None:
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
            self._put(None, _End())
        except Exception as error:  # noqa: BLE001  # raised again by the thread that takes the items
            self._put(None, error)
        finally:
            self._items.close()

    def _put(self, item: T | None, error: Exception | None) -> bool:
        while not (self._stop.is_set() or self._left.is_set()):
            try:
                self._box.put((item, error), timeout=LOOK_UP_S)
            except queue.Full:
                continue
            return True
        return False
