"""What is said in one segment: the transcript, its language, and how much of the audio was heard."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines import coverage as why
from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Result, Span, Transcript
from pipelines.models import Models
from pipelines.record import Coverage, LanguageFrom, SpeechObservation, TextObservation
from pipelines.segment import ExaminationSettings, Segment
from pipelines.text.normalise import normalise

LANGUAGE_TRUST = 0.5
"""Below this probability the spoken language is a guess, and the platform's declaration is the better one."""

AUDIO_SLACK_S = 1.0
"""Encoders and cutters lose this much at a segment's ends; what is shorter than that was cut off."""

LONGEST_CLIP_S = 30.0
"""Speech models hear this much at a time; context makes no clip longer."""

OWN_S = 3.0
"""So much of a span in the segment is kept there, wherever its middle is: the neighbour may hear it otherwise."""

Heard = tuple[SpeechObservation | None, tuple[TextObservation, ...], Coverage]
"""The transcript's frame, its spans not yet scored, and how much of the audio that is."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """What a speech model gets: the segment's audio with some of its neighbours' on both sides."""

    samples: NDArray[np.float32]
    before_s: float
    own_s: float

    @property
    def has_context(self) -> bool:
        return self.samples.size / SAMPLE_RATE_HZ > self.own_s

    def overlap_s(self, span: Span) -> float | None:
        """Seconds of the span that lie in the segment; None when it lies wholly in a neighbour."""
        start_s, end_s = span.start_s - self.before_s, span.end_s - self.before_s
        if self.has_context and (end_s <= 0 or start_s >= self.own_s):
            return None
        return max(0.0, min(end_s, self.own_s) - max(start_s, 0.0))

    def place(self, span: Span) -> tuple[float, float] | None:
        """Start and end on the segment's clock, cut at its borders; None when the span is a neighbour's."""
        start_s, end_s = span.start_s - self.before_s, span.end_s - self.before_s
        if not self.has_context:
            return start_s, end_s
        own = 0 <= (start_s + end_s) / 2 < self.own_s or (self.overlap_s(span) or 0) >= OWN_S
        return (max(0.0, start_s), min(end_s, self.own_s)) if own else None


def examine_speech(segment: Segment, language: str | None, models: Models, settings: ExaminationSettings) -> Heard:
    """What the speech slot hears; `language` is what the stream was last heard to speak."""
    manifest = segment.manifest
    expected_s = round(manifest.duration_s - manifest.lost_s, 2)
    if not settings.hear_speech and (manifest.audio is not None or segment.audio is not None):
        return None, (), Coverage(status="not", reason=why.SHED, total=expected_s)
    if problem := segment.problems.get("speech"):
        return None, (), problem
    if segment.audio is None:
        return None, (), Coverage(status="examined", reason=why.NO_INPUT)
    decoded_s = round(segment.audio.size / SAMPLE_RATE_HZ, 2)
    total = expected_s if _ends_early(decoded_s, expected_s) else decoded_s
    if "speech" not in models.checkpoints:
        return None, (), Coverage(status="not", reason=why.NO_MODEL, total=total)
    sound = _sound(segment, segment.audio, settings.border_context_s)
    clip = Clip(sound.samples, language, settings.beam_size, by_sentence=sound.has_context)
    heard, language_from = _heard(segment, clip, models)
    if not isinstance(heard, Transcript):
        detail = heard.error if isinstance(heard, Failure) else type(heard).__name__
        return None, (), Coverage(status="not", reason=why.MODEL_FAILED, detail=detail, total=total)
    overlaps = [overlap for span in heard.spans if (overlap := sound.overlap_s(span)) is not None]
    speech = SpeechObservation(
        language=heard.language,
        language_probability=heard.language_probability,
        language_from=language_from,
        speech_s=round(min(heard.speech_s, sum(overlaps)), 3) if sound.has_context else heard.speech_s,
    )
    seen = speech_coverage(decoded_s, expected_s, speech.speech_s, silent=not overlaps)
    return speech, _spoken(heard, sound), seen


def speech_coverage(decoded_s: float, expected_s: float, speech_s: float, *, silent: bool) -> Coverage:
    """The coverage of audio that was heard to its end: partly when there is less of it than there must be."""
    ends_early = _ends_early(decoded_s, expected_s)
    return Coverage(
        status="partly" if ends_early else "examined",
        reason=why.UNDECODABLE if ends_early else why.SILENCE if silent else None,
        detail=f"{decoded_s:g} of {expected_s:g} s" if ends_early else None,
        examined=decoded_s,
        total=expected_s if ends_early else decoded_s,
        skipped={"silence": round(max(0.0, decoded_s - speech_s), 2)},
    )


def _ends_early(decoded_s: float, expected_s: float) -> bool:
    return decoded_s < expected_s - AUDIO_SLACK_S


def _sound(segment: Segment, own: NDArray[np.float32], context_s: float) -> _Sound:
    """`context_s` of each neighbour's audio around the segment's, less where the clip would get too long."""
    neighbours = [audio for audio in (segment.audio_before, segment.audio_after) if audio is not None]
    room_s = max(0.0, LONGEST_CLIP_S - own.size / SAMPLE_RATE_HZ) / max(1, len(neighbours))
    context = int(min(context_s, room_s) * SAMPLE_RATE_HZ)
    before = own[:0] if segment.audio_before is None or not context else segment.audio_before[-context:]
    after = own[:0] if segment.audio_after is None else segment.audio_after[:context]
    return _Sound(
        samples=np.concatenate([before, own, after]) if before.size or after.size else own,
        before_s=before.size / SAMPLE_RATE_HZ,
        own_s=own.size / SAMPLE_RATE_HZ,
    )


def _heard(segment: Segment, clip: Clip, models: Models) -> tuple[Result, LanguageFrom]:
    """The transcript in the stream's known language; else in the one heard, unless that is a mere guess."""
    heard = models.ask("speech", [clip])[0]
    if clip.language is not None:
        return heard, "stream"
    declared = (segment.manifest.context.language or "")[:2]
    unsure = isinstance(heard, Transcript) and heard.spans and heard.language_probability < LANGUAGE_TRUST
    if unsure and declared and isinstance(heard, Transcript) and heard.language != declared:
        return models.ask("speech", [replace(clip, language=declared)])[0], "manifest"
    return heard, "detected"


def _spoken(heard: Transcript, sound: _Sound) -> tuple[TextObservation, ...]:
    """The segment's spans on its own clock: those with their middle in it, or enough of them."""
    placed = [(span, place) for span in heard.spans if (place := sound.place(span)) is not None]
    return tuple(
        TextObservation(
            source="speech",
            at_s=round(start_s, 2),
            end_s=round(end_s, 2),
            text=span.text,
            normalised=normalise(span.text).text,
            language=heard.language,
            confidence=round(span.confidence, 4),
        )
        for span, (start_s, end_s) in placed
    )
