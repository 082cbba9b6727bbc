"""From a watched source to windows, at the source's own speed or as if it were live."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from workers.config import Tier
from workers.sampler.ahead import Ahead
from workers.sampler.events import Ended, Event, Sight, Sound
from workers.sampler.live import Watch
from workers.sampler.report import Ending
from workers.sampler.segmenter import Segmenter, Window
from workers.sampler.source import SourceError

DECODED_AHEAD = 16
"""Events read ahead of the cutting; each may hold a whole frame."""

LIVE_INTERLEAVING_S = 1.5
RECORDED_INTERLEAVING_S = 10.0
"""How far one track may run ahead of the other before a window closes without it; live, waiting costs time."""

LONGEST_SILENCE_S = 60.0
"""Well beyond every timeout of a read or a connection. A stream that goes on in tracks of other numbers, which PyAV
never shows, is silent like this; ending lets whoever runs the sampler start it anew."""

SHORTEST_PAUSE_S = 0.02


class Cutting:
    """`began_at` is the wall clock at zero of the source's clock, to the millisecond, once there is a window."""

    def __init__(self, watch: Watch, tier: Tier, *, paced: bool, stop: threading.Event) -> None:
        self._watch = watch
        self._paced = paced
        self._stop = stop
        prompt = paced or watch.live
        self._segmenter = Segmenter(tier, interleaving_s=LIVE_INTERLEAVING_S if prompt else RECORDED_INTERLEAVING_S)
        self._began = 0.0
        self.began_at = datetime.now(UTC)
        self.ending: Ending = "stopped"

    def windows(self) -> Iterator[Window]:
        """All windows; a recording that breaks off raises its `SourceError` after the last of them."""
        broken: SourceError | None = None
        events = Ahead(self._watch.events(), depth=DECODED_AHEAD, stop=self._stop, silence_s=LONGEST_SILENCE_S)
        self._begin()
        try:
            for event in events:
                if isinstance(event, Ended):
                    self.ending = "source ended" if event.returned else "source dropped and stayed away"
                elif self._paced:
                    self._pause_until_shown(event)
                yield from self._segmenter.add(event)
        except SourceError as error:
            broken = error
        except TimeoutError:
            broken = SourceError(f"no video or audio for {LONGEST_SILENCE_S:.0f} s although the source answers")
        yield from self._segmenter.finish()
        if broken is not None:
            raise broken

    def _begin(self) -> None:
        self._began = time.monotonic()
        now = datetime.now(UTC)
        self.began_at = now.replace(microsecond=now.microsecond // 1000 * 1000)

    def _pause_until_shown(self, event: Event) -> None:
        if isinstance(event, Sight | Sound):
            pause_s = self._began + event.at_s - time.monotonic()
            if pause_s > SHORTEST_PAUSE_S:
                self._stop.wait(pause_s)
