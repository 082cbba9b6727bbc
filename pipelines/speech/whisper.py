"""Clips to transcripts: Whisper checkpoints in CTranslate2 form, through faster-whisper.

The text is kept as heard: Whisper often writes Mandarin in Traditional characters, and folding them is the
matter of `pipelines.text`. Card options: `compute_type` (default int8 on the CPU, float16 on CUDA), `beam_size` (1).
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.transcribe import restore_speech_timestamps
from numpy.typing import NDArray

from pipelines.cards import Card, CardError
from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Item, Result, Span, Transcript
from pipelines.scoring import only, rehearse
from pipelines.speech.sentences import Word, confidence, sentences
from pipelines.speech.voice import Stretch, unusable, voiced

FILES = ("model.bin", "config.json", "tokenizer.json")
"""Checked before loading: faster-whisper would fetch an absent tokenizer from the internet."""

TOKENS_PER_S = 30
SPARE_TOKENS = 40
MOST_TOKENS = 440
"""Clear Mandarin takes 7 tokens a second, marks of time included, languages with longer tokens up to three times that;
a window has room for 448."""


class Hearer(WhisperModel):  # type: ignore[misc]  # faster-whisper is untyped here
    """faster-whisper's model, which encodes a window once and drops nothing unsaid.

    By itself it encodes once for the language and again for the words. The encoder is most of the work, so an unknown
    language would nearly double the cost of a clip. The last encodings are kept, so that a clip that is asked about
    again in another language costs the words only: one of each worker's, and those that came meanwhile.
    """

    def __init__(self, folder: str, *, num_workers: int, **settings: object) -> None:
        super().__init__(folder, num_workers=num_workers, **settings)
        self._last: deque[tuple[NDArray[np.float32], Any]] = deque(maxlen=2 * num_workers - 1)

    def detect_language(self, *, features: NDArray[np.float32], **settings: object) -> Any:
        """Without the last 10 ms, which the window for the words lacks, so that both are the same."""
        return super().detect_language(features=features[..., :-1], **settings)

    def encode(self, features: NDArray[np.float32]) -> Any:
        for known, encoded in tuple(self._last):
            if np.array_equal(known, features):
                return encoded
        fresh = super().encode(features)
        self._last.append((features, fresh))
        return fresh

    def add_word_timestamps(self, segments: Sequence[Sequence[dict[str, Any]]], *others: Any, **settings: Any) -> Any:
        """A segment whose words all fall on one instant keeps the times it had: without a length it is dropped."""
        parts = [part for window in segments for part in window]
        before = [(part["start"], part["end"]) for part in parts]
        ended = super().add_word_timestamps(segments, *others, **settings)
        for part, (start_s, end_s) in zip(parts, before, strict=True):
            if part["start"] == part["end"]:
                part["start"], part["end"] = start_s, end_s
        return ended


@dataclass(frozen=True)
class Whisper:
    """Clips one after the other, from `at_a_time` threads: a worker of CTranslate2 each, all over one copy of weights.

    Within a clip a second thread saves a third of the time and a fourth hardly anything; a second clip fills its core.
    `beam_size` is for clips that name none.
    """

    model: Any
    beam_size: int
    at_a_time: int = 1

    def warm_up(self) -> None:
        """Sends noise past the voice gate, so that encoder and decoder really run; a few words are enough."""
        noise = Clip(np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE_HZ).astype(np.float32))
        whole = Stretch(start=0, end=noise.samples.size)
        rehearse(lambda clips: [self._transcribe(noise, [whole], max_new_tokens=8) for _ in clips], [noise])

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        return [self._heard(clip) for clip in only(Clip, items)]

    def _heard(self, clip: Clip) -> Transcript | Failure:
        failure = unusable(clip)
        if failure is not None:
            return failure
        stretches = voiced(clip)
        if not stretches:
            return Transcript(language=clip.language, language_probability=0.0, spans=(), speech_s=0.0)
        return self._transcribe(clip, stretches)

    def _transcribe(
        self, clip: Clip, stretches: Sequence[Stretch], *, max_new_tokens: int = MOST_TOKENS
    ) -> Transcript | Failure:
        """What was said in these stretches, which are heard as one, with the times of the whole clip."""
        spoken = np.concatenate([clip.samples[part["start"] : part["end"]] for part in stretches])
        known = clip.language if clip.language in self.model.supported_languages else None
        # Temperature 0 alone: the fallbacks sample, so that one clip would give two transcripts and take
        # up to six times as long. Nor is a window left out for being no speech: what is left out is counted,
        # and faster-whisper would not say. `confidence`, `no_speech` and `compression` tell what to distrust.
        segments, info = self.model.transcribe(
            spoken,
            language=known,
            beam_size=clip.beam_size or self.beam_size,
            temperature=0.0,
            no_speech_threshold=None,
            condition_on_previous_text=False,
            max_new_tokens=min(max_new_tokens, _sayable(spoken.size / SAMPLE_RATE_HZ)),
            word_timestamps=True,
        )
        heard = list(restore_speech_timestamps(segments, stretches, SAMPLE_RATE_HZ))  # decoding happens only now
        numbers = [info.language_probability, *(segment.avg_logprob for segment in heard)]
        if not all(math.isfinite(number) for number in numbers):
            return Failure(error="NonFiniteScore")
        duration_s = clip.samples.size / SAMPLE_RATE_HZ
        return Transcript(
            language=info.language,
            language_probability=info.language_probability,
            spans=tuple(
                span for segment in heard for span in _spans(segment, duration_s, by_sentence=clip.by_sentence)
            ),
            speech_s=spoken.size / SAMPLE_RATE_HZ,
        )


def _sayable(voiced_s: float) -> int:
    """More tokens than anybody says in that time: a loop of 440 tokens takes several times as long as the sentence."""
    return min(MOST_TOKENS, SPARE_TOKENS + int(TOKENS_PER_S * voiced_s))


def _spans(segment: Any, duration_s: float, *, by_sentence: bool) -> Iterator[Span]:
    """A segment as Whisper cut it, or its sentences; nothing blank.

    The confidence is that of the words: Whisper's own is of its whole window, marks of time included, and tells
    what was invented far less clearly.
    """
    timed = [Word(float(word.start), float(word.end), word.word, float(word.probability)) for word in segment.words]
    if not timed:
        timed = [Word(segment.start, segment.end, segment.text, math.exp(segment.avg_logprob))]
    for words in sentences(timed) if by_sentence else [timed]:
        yield from _span(segment, words, duration_s)


def _span(segment: Any, words: Sequence[Word], duration_s: float) -> Iterator[Span]:
    """Cut at the end of the clip: Whisper sees 30 s, and at times puts words into the padding."""
    text = "".join(word.text for word in words).strip()
    if text:
        yield Span(
            start_s=round(min(words[0].start_s, duration_s), 2),
            end_s=round(min(words[-1].end_s, duration_s), 2),
            text=text,
            confidence=confidence(words),
            no_speech=segment.no_speech_prob,
            compression=segment.compression_ratio,
        )


def side_by_side(threads: int) -> int:
    """Clips that a CPU hears at a time where each has so many threads."""
    return max(1, (os.cpu_count() or 1) // threads) if threads else 1


def load_whisper(card: Card, folder: Path, *, device: str, threads: int) -> Whisper:
    """The model of `folder`; `threads` 0 takes CTranslate2's own default of four, and hears one clip at a time.

    On a CPU as many clips are heard at a time as there are cores for so many threads each.
    """
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise CardError(f"{card.id}: {folder} lacks {', '.join(absent)}")
    on_cuda = device.startswith("cuda") or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)
    name, _, index = device.partition(":")
    at_a_time = 1 if on_cuda else side_by_side(threads)
    model = Hearer(
        str(folder),
        num_workers=at_a_time,
        device="cuda" if on_cuda else "cpu",
        device_index=int(index) if name == "cuda" and index else 0,
        compute_type=str(card.fields.options.get("compute_type", "float16" if on_cuda else "int8")),
        cpu_threads=threads,
        local_files_only=True,
    )
    return Whisper(model, beam_size=int(card.fields.options.get("beam_size", 1)), at_a_time=at_a_time)
