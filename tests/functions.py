"""Segments and models for tests of what a segment's examination says; the models are plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pipelines.items import (
    SAMPLE_RATE_HZ,
    CheckpointRef,
    Item,
    Picture,
    Result,
    Scores,
    ScreenLine,
    ScreenText,
    Span,
    Transcript,
)
from pipelines.manifest import AudioRef, ChatLine, Context, FrameRef, Gap, SegmentManifest
from pipelines.models import DeadlinePassed
from pipelines.record import Coverage
from pipelines.segment import Frame, Segment

Answer = Callable[[Item], Result]


class Functions:
    """`Models` out of one function a slot, `text__risk` for `text.risk`; keeps what each slot was asked.

    `changed`: slots whose checkpoint is another than the rest have.
    """

    def __init__(self, changed: Sequence[str] = (), **answers: Answer) -> None:
        self._answers = {name.replace("__", "."): answer for name, answer in answers.items()}
        self._changed = changed
        self.asked: dict[str, list[Item]] = {name: [] for name in self._answers}

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        digests = {name: ("1" if name in self._changed else "0") * 64 for name in self._answers}
        return {name: CheckpointRef(id="function", digest=digest, session="none") for name, digest in digests.items()}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        self.asked[slot].extend(items)
        return [self._answers[slot](item) for item in items]


def scores(item: Item) -> Result:
    return Scores(labels={"nsfw": 0.1}) if isinstance(item, Picture) else Scores(labels={"scam": 0.2})


def says(
    *texts: str, language: str = "en", probability: float = 0.9, at_s: Sequence[tuple[float, float]] = ((1, 2),)
) -> Answer:
    """The texts, each from and to its times in the clip."""
    spans = tuple(
        Span(start_s=start_s, end_s=end_s, text=text, confidence=0.8, no_speech=0.1, compression=1.1)
        for text, (start_s, end_s) in zip(texts, at_s, strict=True)
    )
    speech_s = sum(span.end_s - span.start_s for span in spans)
    heard = Transcript(language=language, language_probability=probability, spans=spans, speech_s=speech_s)
    return lambda item: heard


def reads(*texts: str, confidence: float = 0.95) -> Answer:
    lines = tuple(ScreenLine(text=text, confidence=confidence, box=(0, 0, 1, 0.1)) for text in texts)
    return lambda item: ScreenText(lines=lines)


def models(*changed: str, **answers: Answer) -> Functions:
    """One function for each slot that ships: nothing wrong anywhere, unless `answers` say otherwise."""
    nobody = Transcript(language=None, language_probability=0, spans=(), speech_s=0)
    shipped: dict[str, Answer] = {
        "vision__nudity": scores,
        "speech": lambda item: nobody,
        "ocr": reads(),
        "text__risk": scores,
    }
    return Functions(changed, **{**shipped, **answers})


def late(item: Item) -> Result:
    """Out of time."""
    raise DeadlinePassed


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), dtype=np.float32)


def frame(at_s: float, grey: int) -> Frame:
    return Frame(at_s, Picture(np.full((40, 60, 3), grey, dtype=np.uint8)))


def segment(
    *,
    frames: Sequence[Frame] = (),
    audio_s: float | None = None,
    chat: Sequence[tuple[str, str]] | None = None,
    gaps: tuple[Gap, ...] = (),
    language: str | None = None,
    problems: Mapping[Literal["speech", "chat"], Coverage] | None = None,
) -> Segment:
    """Ten seconds of a stream, with silence for audio; its manifest names what it has."""
    manifest = SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id="room",
        segment_id="one",
        captured_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration_s=10,
        frames=tuple(FrameRef(at_s=one.at_s, key="media/frames") for one in frames),
        audio=AudioRef(key="media/audio") if audio_s is not None else None,
        gaps=gaps,
        context=Context(language=language),
    )
    audio = None if audio_s is None else silence(audio_s)
    lines = (
        None if chat is None else tuple(ChatLine(at_s=i, user=user, text=text) for i, (user, text) in enumerate(chat))
    )
    return Segment(manifest, tuple(frames), audio, lines, problems or {})
