"""One track's timestamps laid on the source's clock.

Encoders restart, playlists splice in other programmes and 33-bit counters wrap. A step back, or a step
forward that is too long to be missing media, is such a restart: time goes on where it was. A shorter step
forward is missing media and stays. Each track is judged alone, because the two cross a splice at different packets.
"""

from __future__ import annotations

STEP_BACK_S = 1.0
"""Less than this is jitter or overlap."""

SPLICED_STEP_S = 10.0
"""Containers known for splices (MPEG-TS, HLS): longer steps are restarts. ffmpeg's `dts_delta_threshold`."""

RECORDED_STEP_S = 600.0
"""Containers with one clock: a recording may well miss minutes; hours are a damaged stamp."""


class Timeline:
    """Places timestamps of one track; `zero_s` is the stamp that falls on `begin_s` of the source's clock."""

    def __init__(self, zero_s: float, begin_s: float, longest_step_s: float) -> None:
        self._offset_s = begin_s - zero_s
        self._longest_step_s = longest_step_s
        self.end_s = begin_s

    def place(self, stamp_s: float | None, duration_s: float) -> float:
        """When this item starts on the source's clock; one without a stamp follows the last."""
        at_s = self.end_s if stamp_s is None else stamp_s + self._offset_s
        if at_s < self.end_s - STEP_BACK_S or at_s > self.end_s + self._longest_step_s:
            self._offset_s += self.end_s - at_s
            at_s = self.end_s
        self.end_s = max(self.end_s, at_s + duration_s)
        return at_s
