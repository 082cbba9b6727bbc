"""Stores and queues segments on a thread of its own, in order, while the next one is being read."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from pydantic import ValidationError

from pipelines.items import SAMPLE_RATE_HZ
from pipelines.manifest import one_line
from workers.lanes import Lane
from workers.publish import Publisher, PublishError
from workers.records import record_key_of
from workers.sampler.chat import Cut
from workers.sampler.parcel import Origin, Parcel, pack
from workers.sampler.report import SegmentReport
from workers.sampler.segmenter import Window
from workers.storage import Storage, StorageError

WAITING = 2
"""Segments that may wait for the store before reading stops."""

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0


class DeliveryError(Exception):
    """A segment could not be stored or queued; one line with its id."""


@dataclass(slots=True)
class Delivered:
    """What was stored and queued; `known` segments had a record already and were neither."""

    segments: int = 0
    known: int = 0
    frames: int = 0
    audio_s: float = 0
    gap_s: float = 0
    chat_lines: int = 0


class Delivery:
    """A store or broker that fails later on is tried again for `patience_s`: until then reading waits.

    `live` segments happen now and may be examined in less depth under overload; a recording's wait.
    When the very first segment fails, the addresses are more likely wrong than the servers down: no second try.
    """

    def __init__(
        self,
        storage: Storage,
        publisher: Publisher,
        lane: Lane,
        *,
        live: bool,
        patience_s: float,
        stop: threading.Event,
        report: Callable[[SegmentReport], None],
    ) -> None:
        self._storage = storage
        self._publisher = publisher
        self._lane = lane
        self._live = live
        self._patience_s = patience_s
        self._stop = stop
        self._report = report
        self._failed = False
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="delivery")
        self._pending: deque[Future[None]] = deque()
        self.delivered = Delivered()

    def put(self, window: Window, chat: Cut | None, origin: Origin) -> None:
        """Hands a segment over; waits when too many are under way. `DeliveryError` tells of an earlier one."""
        self._pending.append(self._pool.submit(self._deliver, window, chat, origin))
        while len(self._pending) > WAITING or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()

    def finish(self) -> Delivered:
        """Waits until everything is stored and queued."""
        while self._pending:
            self._pending.popleft().result()
        return self.delivered

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _deliver(self, window: Window, chat: Cut | None, origin: Origin) -> None:
        if self._failed:
            return
        parcel = self._packed(window, chat, origin)
        if not self._send(parcel):
            self.delivered.known += 1
            return
        report = SegmentReport(
            segment_id=parcel.manifest.segment_id,
            captured_at=parcel.manifest.captured_at,
            duration_s=window.duration_s,
            frames=len(window.stills),
            audio_s=0 if window.samples is None else round(len(window.samples) / SAMPLE_RATE_HZ, 3),
            chat_lines=len(chat.lines) if chat else 0,
            gaps=window.gaps,
            chat_bad=chat.bad if chat else (),
        )
        self._count(report)
        self._report(report)

    def _packed(self, window: Window, chat: Cut | None, origin: Origin) -> Parcel:
        try:
            return pack(window, chat.lines if chat else None, origin)
        except (ValidationError, OverflowError) as error:
            self._failed = True
            what = one_line(error) if isinstance(error, ValidationError) else "its date is out of range"
            raise DeliveryError(f"segment at {window.start_s:.0f} s: {what}") from None

    def _send(self, parcel: Parcel) -> bool:
        """False when the segment has its record in this run: a worker would leave the message undone."""
        began, wait_s = time.monotonic(), FIRST_WAIT_S
        while True:
            try:
                if self._storage.exists(record_key_of(parcel.manifest)):
                    return False
                for stored in parcel.objects:
                    self._storage.put(stored.key, stored.body, content_type=stored.content_type)
                self._publisher.send(parcel.manifest, self._lane, live=self._live)
            except (StorageError, PublishError) as error:
                over = self._stop.is_set() or time.monotonic() - began >= self._patience_s
                if over or not (self.delivered.segments or self.delivered.known):
                    self._failed = True
                    raise DeliveryError(f"segment {parcel.manifest.segment_id}: {error}") from None
                self._stop.wait(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                return True

    def _count(self, report: SegmentReport) -> None:
        self.delivered.segments += 1
        self.delivered.frames += report.frames
        self.delivered.audio_s += report.audio_s
        self.delivered.gap_s += sum(gap.to_s - gap.from_s for gap in report.gaps)
        self.delivered.chat_lines += report.chat_lines
