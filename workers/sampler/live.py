"""Keeps watching: a live source that drops is opened again, and the time without it becomes a lapse."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

from av.error import FFmpegError

from workers.config import Sampler
from workers.sampler.decoding import Decoding
from workers.sampler.events import Ended, Event, Lapse
from workers.sampler.reach import Reach
from workers.sampler.source import Address, Opened, SourceError, cause

FIRST_WAIT_S = 0.25
LONGEST_WAIT_S = 5.0
DROPPED = "source dropped"


class Watch:
    """The events of a source from its first to its last, over however many connections.

    A recording is read once, and `SourceError` says when it breaks off. A live source is opened again until it has been
    away for `reconnect_s`. Its clock is the wall clock wherever a connection begins, its own stamps in between.
    """

    def __init__(self, where: Address, settings: Sampler, stop: threading.Event) -> None:
        """Opens the source; `SourceError` when that fails."""
        self._where = where
        self._settings = settings
        self._stop = stop
        self._reach = Reach(settings.allow_networks)
        self._opened: Opened | None = Opened(where, self._reach)
        self.live = self._opened.live
        self.undecodable = 0
        self.reconnects = 0

    def events(self) -> Generator[Event, None, None]:
        began = time.monotonic()
        end_s = 0.0
        while self._opened is not None and not self._stop.is_set():
            decoding = Decoding(self._opened, self._settings, end_s)
            try:
                yield from decoding.events()
            except (FFmpegError, OSError) as error:
                if not self.live:
                    raise SourceError(f"{self._where.name}: broke off ({cause(error)})") from None
            finally:
                self._opened.close()
                self.undecodable += decoding.undecodable
            if not self.live:
                yield Ended(returned=True)
                return
            end_s = yield from self._outage(began, decoding.end_s)

    def _outage(self, began: float, end_s: float) -> Generator[Event, None, float]:
        """Tries again until the source is back, and returns where the source's clock stands then."""
        self._opened = None
        away_since, wait_s = time.monotonic(), FIRST_WAIT_S
        while not self._stop.is_set():
            opened = self._again()
            now_s = time.monotonic() - began
            if now_s > end_s:
                yield Lapse(end_s, now_s, DROPPED)
                end_s = now_s
            if opened is not None and opened.live:
                self._opened = opened
                self.reconnects += 1
                break
            if opened is not None or time.monotonic() - away_since >= self._settings.reconnect_s:
                yield Ended(returned=opened is not None)
                break
            self._stop.wait(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return end_s

    def _again(self) -> Opened | None:
        """An open source that is no longer live is a playlist that has got its end: the stream is over."""
        try:
            opened = Opened(self._where, self._reach)
        except SourceError:
            return None
        if not opened.live:
            opened.close()
        return opened
