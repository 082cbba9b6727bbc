"""What is said in one segment: the transcript, its language, and how much of the audio was heard.

What the model made up is left out and counted (`pipelines.speech.invented`); no text model ever reads it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines import coverage as why
from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Span
from pipelines.models import Models
from pipelines.record import Coverage, SpeechObservation, TextObservation
from pipelines.segment import ExaminationSettings, Segment
from pipelines.speech.invented import invented
from pipelines.speech.listening import Hearing, Utterance, listen
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise, simplify

AUDIO_SLACK_S = 1.0
"""Encoders and cutters lose this much at a segment's ends; what is shorter than that was cut off."""

LONGEST_CLIP_S = 30.0
"""Speech models hear this much at a time; context makes no clip longer."""

OWN_S = 3.0
"""So much of a span in the segment is kept there, wherever its middle is: the neighbour may hear it otherwise."""

EDGE_S = 0.2
"""A span that comes this close to an end of its clip may have lost part of a word there."""
WORD_S = 0.4
"""A word lasts about this long."""

LEAST_WHOLE = 0.5
"""However short a span is, cutting takes no more than this of what it is worth."""

TRADITIONAL = ("hant", "tw", "hk", "mo")
"""Subtags of a declared language whose readers write Traditional characters."""

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

    def whole(self, span: Span) -> float:
        """How much of the span no end of the clip can have cut, 0.5 to 1: all but a word at each end it touches.

        Live hears no neighbour: their audio is elsewhere or not there yet, and fetching it would hold the segment up.
        So what a border may have garbled counts a little less, a long sentence hardly, a scrap by half. A deep look
        has the neighbours' audio around the segment, so that only words that matter to neighbours are cut.
        """
        length_s = self.samples.size / SAMPLE_RATE_HZ
        cuts = (span.start_s <= EDGE_S) + (span.end_s >= length_s - EDGE_S)
        return max(LEAST_WHOLE, 1 - cuts * WORD_S / max(WORD_S, span.end_s - span.start_s))


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
    clip = Clip(sound.samples, language, settings.beam_size, by_sentence=settings.border_context_s > 0)
    declared = segment.manifest.context.language
    heard = listen(clip, (declared or "")[:2] or None, lambda asked: models.ask("speech", [asked])[0])
    if not isinstance(heard, Hearing):
        detail = heard.error if isinstance(heard, Failure) else type(heard).__name__
        return None, (), Coverage(status="not", reason=why.MODEL_FAILED, detail=detail, total=total)
    kept, made_up = _sifted(heard, simplified=not _is_traditional(declared))
    overlaps = [overlap for one in heard.utterances if (overlap := sound.overlap_s(one.span)) is not None]
    speech = _frame(heard, kept, round(min(heard.speech_s, sum(overlaps)), 3) if sound.has_context else heard.speech_s)
    seen = speech_coverage(
        decoded_s,
        expected_s,
        speech.speech_s,
        silent=not overlaps,
        invented_s=sum(_counted_s(sound.overlap_s(span)) for span in made_up),
    )
    return speech, _spoken(kept, sound), seen


def speech_coverage(
    decoded_s: float, expected_s: float, speech_s: float, *, silent: bool, invented_s: float = 0.0
) -> Coverage:
    """The coverage of audio that was heard to its end: partly when there is less of it than there must be."""
    ends_early = _ends_early(decoded_s, expected_s)
    skipped = {"silence": round(max(0.0, decoded_s - speech_s), 2)}
    return Coverage(
        status="partly" if ends_early else "examined",
        reason=why.UNDECODABLE if ends_early else why.SILENCE if silent else None,
        detail=f"{decoded_s:g} of {expected_s:g} s" if ends_early else None,
        examined=decoded_s,
        total=expected_s if ends_early else decoded_s,
        skipped=skipped | ({"invented": round(invented_s, 2)} if invented_s else {}),
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


@dataclass(frozen=True, slots=True)
class _Said:
    """One thing that was heard, as readers get it."""

    span: Span
    language: str | None
    text: str


def _sifted(heard: Hearing, *, simplified: bool) -> tuple[list[_Said], list[Span]]:
    """What somebody said, and what the model made up.

    Which characters Whisper writes Mandarin in is its whim and no property of what was said: readers get Simplified
    ones, unless the platform declares a language that is written in Traditional ones.
    """
    spans = [one.span for one in heard.utterances]
    dropped = invented(spans, [normalise(span.text).text for span in spans], heard.speech_s)
    pairs = list(zip(heard.utterances, dropped, strict=True))
    said = [_said(one, simplified=simplified) for one, made_up in pairs if not made_up]
    return said, [one.span for one, made_up in pairs if made_up]


def _said(one: Utterance, *, simplified: bool) -> _Said:
    """In the language that it is written in: asked in Mandarin, Whisper may write down English, and the reverse."""
    text, language, written = one.span.text, one.language, language_of(one.span.text)
    if written is not None and language != "ja" and "zh" in (language, written):
        language = written
    return _Said(one.span, language, simplify(text) if simplified and language == "zh" else text)


def _counted_s(overlap_s: float | None) -> float:
    """Seconds of a dropped span in the segment: something, even where the model gave it no length."""
    return 0.0 if overlap_s is None else max(0.01, overlap_s)


def _frame(heard: Hearing, said: list[_Said], speech_s: float) -> SpeechObservation:
    """Where all was made up, its language was, too."""
    made_up = bool(heard.utterances) and not said
    return SpeechObservation(
        language=None if made_up else heard.language,
        language_probability=0.0 if made_up else heard.language_probability,
        language_from=heard.language_from,
        speech_s=speech_s,
        chain=("simplified",) if any(one.text != one.span.text for one in said) else (),
    )


def _spoken(said: list[_Said], sound: _Sound) -> tuple[TextObservation, ...]:
    """The segment's spans on its own clock: those with their middle in it, or enough of them."""
    placed = [(one, place) for one in said if (place := sound.place(one.span)) is not None]
    return tuple(
        TextObservation(
            source="speech",
            at_s=round(start_s, 2),
            end_s=round(end_s, 2),
            text=one.text,
            normalised=normalise(one.text).text,
            language=one.language,
            confidence=round(one.span.confidence * sound.whole(one.span), 4),
        )
        for one, (start_s, end_s) in placed
    )


def _is_traditional(declared: str | None) -> bool:
    return any(part in TRADITIONAL for part in (declared or "").lower().replace("_", "-").split("-")[1:])
