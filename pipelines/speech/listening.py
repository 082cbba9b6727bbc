"""Asks a speech model about a clip, and once more where the language it was asked in seems to be the wrong one.

A stream's language is known from its earlier segments, which spares detecting it. But hosts switch and guests arrive,
and Whisper asked in the wrong language does not say so: it translates, guesses or falls silent, and its confidence
drops. Then it is asked without a language, and the better transcript stands.

Within one window of 30 s Whisper writes one language (faster-whisper's `multilingual` chooses anew for each window,
which a clip of that length has one of), and leaves out what it cannot write in it. So a stretch where somebody speaks
and nothing is written is asked about by itself; where the spans are sentences, in a deep look, so are those that it is
unsure of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipelines.items import SAMPLE_RATE_HZ, Clip, Result, Span, Transcript
from pipelines.record import LanguageFrom
from pipelines.speech.invented import COMPRESSION

LANGUAGE_TRUST = 0.5
"""Below this probability the spoken language is a guess, and the platform's declaration is the better one."""

LOW_CONFIDENCE = 0.6
"""A transcript below this on average may be in the wrong language. Whisper base on twelve clean clips: 0.61 to 0.95 in
the right one, mostly 0.1 to 0.5 in a wrong one."""

ENOUGH_VOICE_S = 1.5
"""So much of a voice without a word is suspicious, too."""

AGAIN_AT_MOST = 3
"""Stretches of a deep clip that are asked about by themselves, of a live one only the longest: each costs as much as
the clip, unless the voice gate finds nobody in it."""
SHORTEST_AGAIN_S = 1.0
JOINED_S = 0.6
"""Stretches closer than this are one."""
MARGIN_S = 0.2
"""Heard beside a stretch on both sides: times of words are that exact."""

Ask = Callable[[Clip], Result]


@dataclass(frozen=True, slots=True)
class Utterance:
    """A span and the language it was written in."""

    span: Span
    language: str | None


@dataclass(frozen=True, slots=True)
class Hearing:
    """What is heard in one clip. The language is that of the clip as a whole."""

    utterances: tuple[Utterance, ...]
    language: str | None
    language_probability: float
    language_from: LanguageFrom
    speech_s: float


def listen(clip: Clip, declared: str | None, ask: Ask) -> Hearing | Result:
    """What is heard, or the model's answer when that is no transcript.

    `clip.language` is what the stream is known to speak, `declared` what the platform says it does.
    """
    heard = ask(clip)
    if not isinstance(heard, Transcript):
        return heard
    language_from: LanguageFrom = "detected" if clip.language is None else "stream"
    if clip.language is not None and _in_doubt(heard):
        other = ask(replace(clip, language=None))
        if isinstance(other, Transcript) and other.language != heard.language and _better(other, heard):
            heard, language_from = other, "detected"
    if language_from == "detected" and _is_guess(heard) and declared not in (None, heard.language):
        told = ask(replace(clip, language=declared))
        if not isinstance(told, Transcript):
            return told
        heard, language_from = told, "manifest"
    return Hearing(
        _with_second_hearing(clip, heard, ask),
        heard.language,
        heard.language_probability,
        language_from,
        speech_s=heard.speech_s,
    )


def confidence(spans: Sequence[Span]) -> float:
    """The mean over what is written, long spans counting for more; 0 when nothing is, and for loops."""
    letters = sum(len(span.text) for span in spans)
    sure = sum(span.confidence * len(span.text) for span in spans if span.compression <= COMPRESSION)
    return sure / letters if letters else 0.0


def _in_doubt(heard: Transcript) -> bool:
    return bool(heard.spans or heard.speech_s >= ENOUGH_VOICE_S) and confidence(heard.spans) < LOW_CONFIDENCE


def _is_guess(heard: Transcript) -> bool:
    return bool(heard.spans) and heard.language_probability < LANGUAGE_TRUST


def _better(other: Transcript, heard: Transcript) -> bool:
    return other.language_probability >= LANGUAGE_TRUST and confidence(other.spans) > confidence(heard.spans)


def _with_second_hearing(clip: Clip, heard: Transcript, ask: Ask) -> tuple[Utterance, ...]:
    """What was heard, with doubtful stretches replaced where hearing them alone makes more of them."""
    utterances = [Utterance(span, heard.language) for span in heard.spans]
    for start_s, end_s in _stretches(clip, heard):
        from_s = max(0.0, start_s - MARGIN_S)
        samples = clip.samples[round(from_s * SAMPLE_RATE_HZ) : round((end_s + MARGIN_S) * SAMPLE_RATE_HZ)]
        alone = ask(replace(clip, samples=samples, language=None))
        within = [one for one in utterances if start_s <= _middle(one.span) <= end_s]
        enough = max(LOW_CONFIDENCE, confidence([one.span for one in within]))
        if not isinstance(alone, Transcript) or _is_guess(alone) or confidence(alone.spans) <= enough:
            continue
        anew = [Utterance(_later(span, from_s), alone.language) for span in alone.spans]
        utterances = sorted(
            [*(one for one in utterances if one not in within), *anew], key=lambda one: one.span.start_s
        )
    return tuple(utterances)


def _stretches(clip: Clip, heard: Transcript) -> Sequence[tuple[float, float]]:
    """Where the transcript is silent though more of a voice was heard, and where its sentences are unsure.

    The longest few, in no order of time, and never the clip as a whole.
    """
    unsure = [(span.start_s, span.end_s) for span in heard.spans if span.confidence < LOW_CONFIDENCE]
    unsure = unsure if clip.by_sentence else []
    written_s = sum(span.end_s - span.start_s for span in heard.spans)
    if heard.speech_s - written_s >= ENOUGH_VOICE_S:
        unsure += _gaps(heard.spans, clip.samples.size / SAMPLE_RATE_HZ)
    joined: list[tuple[float, float]] = []
    for start_s, end_s in sorted(unsure):
        if joined and start_s - joined[-1][1] < JOINED_S:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end_s))
        else:
            joined.append((start_s, end_s))
    whole_s = clip.samples.size / SAMPLE_RATE_HZ
    lasting = [one for one in joined if SHORTEST_AGAIN_S <= one[1] - one[0] < whole_s - SHORTEST_AGAIN_S]
    return sorted(lasting, key=lambda one: one[0] - one[1])[: AGAIN_AT_MOST if clip.by_sentence else 1]


def _gaps(spans: Sequence[Span], whole_s: float) -> Iterator[tuple[float, float]]:
    """Between the spans, before the first and after the last."""
    at_s = 0.0
    for span in sorted(spans, key=lambda span: span.start_s):
        if span.start_s - at_s >= SHORTEST_AGAIN_S:
            yield at_s, span.start_s
        at_s = max(at_s, span.end_s)
    if whole_s - at_s >= SHORTEST_AGAIN_S:
        yield at_s, whole_s


def _middle(span: Span) -> float:
    return (span.start_s + span.end_s) / 2


def _later(span: Span, by_s: float) -> Span:
    return span.model_copy(update={"start_s": round(span.start_s + by_s, 2), "end_s": round(span.end_s + by_s, 2)})
