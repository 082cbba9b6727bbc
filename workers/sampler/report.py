"""What sampling tells: one report a segment, one summary at the end. Numbers only, no content."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from pipelines.manifest import Gap
from pipelines.strict import Strict


class SegmentReport(Strict):
    """One segment that is stored and queued. `chat_bad` are line numbers of the chat file."""

    segment_id: str
    captured_at: AwareDatetime
    duration_s: float
    frames: int
    audio_s: float
    chat_lines: int
    gaps: tuple[Gap, ...]
    chat_bad: tuple[int, ...]


Ending = Literal["source ended", "source dropped and stayed away", "stopped"]


class SampleSummary(Strict):
    """The whole sampling. `known` segments had a record in this run and were not queued; nothing else counts them.

    `chat_late` lines came after their window and went into the next one; `chat_outside` lines lie after the
    end of the source and went nowhere. `undecodable` counts packets of video or audio.
    """

    stream_id: str
    run: str
    ended: Ending
    segments: int = 0
    known: int = 0
    frames: int = 0
    audio_s: float = 0
    gap_s: float = 0
    reconnects: int = 0
    undecodable: int = 0
    chat_lines: int = 0
    chat_bad: int = 0
    chat_late: int = 0
    chat_outside: int = 0
