"""From an open source to events: demuxes video and audio, decodes both, and leaves frames unconverted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import av
import cv2
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from pipelines.items import SAMPLE_RATE_HZ
from workers.config import Sampler
from workers.sampler.events import Sight, Sound, Tracks
from workers.sampler.picture import jpeg
from workers.sampler.source import Opened
from workers.sampler.timeline import RECORDED_STEP_S, SPLICED_STEP_S, Timeline

MAX_PIXELS = 8192 * 8192
"""Larger frames are refused by the decoder, before their memory is taken."""

USUAL_FRAME_S = 0.04

UNUSABLE = (FFmpegError, ValueError, ArithmeticError, cv2.error)
"""What converting a frame raises that came whole out of its decoder."""


class Decoding:
    """The events of one opened source, with the source's first instant at `begin_s`.

    `undecodable` counts packets that no decoder could use, and frames that nothing converts; the time of packets shows
    up as a gap.
    """

    def __init__(self, opened: Opened, settings: Sampler, begin_s: float = 0.0) -> None:
        self._opened = opened
        self._jpeg = partial(jpeg, longest_px=settings.max_frame_side_px, quality=settings.jpeg_quality)
        self._step_s = step_s = SPLICED_STEP_S if opened.spliced or opened.live else RECORDED_STEP_S
        zero_s = (opened.container.start_time or 0) / av.time_base
        self._video = Timeline(zero_s, begin_s, step_s)
        self._audio = Timeline(zero_s, begin_s, step_s)
        self._resampler: av.AudioResampler | None = None
        self._sounds_like: tuple[str, str, int] | None = None
        self.undecodable = 0
        if opened.video is not None and opened.video in opened.decodable:
            opened.video.codec_context.options = {"max_pixels": str(MAX_PIXELS)}

    @property
    def end_s(self) -> float:
        """The latest moment that anything was received for."""
        return max(self._video.end_s, self._audio.end_s)

    def events(self) -> Iterator[Tracks | Sight | Sound]:
        """Until the source ends; an `FFmpegError` or `OSError` when it breaks off."""
        yield Tracks(self._opened.kinds)
        for packet in self._packets():
            try:
                frames = packet.decode()
            except FFmpegError:
                self.undecodable += 1
                continue
            for frame in frames:
                yield from self._taken(frame)

    def _taken(self, frame: av.VideoFrame | av.AudioFrame) -> Iterator[Sight | Sound]:
        """Damage can make a frame that has no rate, or that nothing converts."""
        try:
            if isinstance(frame, av.VideoFrame):
                yield self._sight(frame)
            else:
                yield from self._sounds(frame)
        except UNUSABLE:
            self.undecodable += 1
            self._resampler = None

    def _packets(self) -> Iterator[av.Packet]:
        """Until the end. PyAV's last flush stumbles over tracks that appeared on the way; by then all are read."""
        try:
            yield from self._opened.container.demux(self._opened.decodable)
        except IndexError:
            return

    def _sight(self, frame: av.VideoFrame) -> Sight:
        duration_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
        if not duration_s:
            rate = self._opened.video.average_rate if self._opened.video is not None else None
            duration_s = float(1 / rate) if rate else USUAL_FRAME_S
        duration_s = min(duration_s, self._step_s)
        return Sight(self._video.place(frame.time, duration_s), duration_s, partial(self._encoded, frame))

    def _encoded(self, frame: av.VideoFrame) -> bytes | None:
        try:
            return self._jpeg(frame)
        except UNUSABLE:
            self.undecodable += 1
            return None

    def _sounds(self, frame: av.AudioFrame) -> Iterator[Sound]:
        at_s = self._audio.place(frame.time, frame.samples / frame.sample_rate)
        sounds_like = (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._resampler is None or sounds_like != self._sounds_like:
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=SAMPLE_RATE_HZ)
            self._sounds_like = sounds_like
        for resampled in self._resampler.resample(frame):
            samples: NDArray[np.int16] = resampled.to_ndarray()[0]
            early = max(0, round(-at_s * SAMPLE_RATE_HZ))
            if early < len(samples):
                yield Sound(max(at_s, 0.0), samples[early:])
            at_s += len(samples) / SAMPLE_RATE_HZ
