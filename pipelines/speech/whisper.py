"""Clips to transcripts: Whisper checkpoints in CTranslate2 form, through faster-whisper.

The text is kept as heard: Whisper often writes Mandarin in Traditional characters, and folding them is the
matter of `pipelines.text`. Card options: `compute_type` (default int8 on the CPU, float16 on CUDA), `beam_size` (1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel
from numpy.typing import NDArray

from pipelines.cards import Card, CardError
from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Item, Result, Span, Transcript
from pipelines.scoring import only, prove
from pipelines.speech.sentences import Word, sentences
from pipelines.speech.voice import GATE, unusable, voiced_s

FILES = ("model.bin", "config.json", "tokenizer.json")
"""Checked before loading: faster-whisper would fetch an absent tokenizer from the internet."""


class OneEncoding(WhisperModel):  # type: ignore[misc]  # faster-whisper is untyped here
    """Encodes a window once: faster-whisper would do so for the language and again for the words.

    The encoder is most of the work, so an unknown language would nearly double the cost of a clip.
    """

    def __init__(self, folder: str, **settings: object) -> None:
        super().__init__(folder, **settings)
        self._last: tuple[NDArray[np.float32], Any] | None = None

    def transcribe(self, audio: NDArray[np.float32], **settings: object) -> Any:
        self._last = None
        return super().transcribe(audio, **settings)

    def encode(self, features: NDArray[np.float32]) -> Any:
        # The window for the words lacks the last 10 ms of the one for the language, and is the same otherwise.
        if self._last is None or np.count_nonzero((self._last[0] != features).any(axis=0)) > 1:
            self._last = (features, super().encode(features))
        return self._last[1]


@dataclass(frozen=True)
class Whisper:
    """One clip after the other: CTranslate2 parallelises within a clip, and clips differ in length.

    `beam_size` is for clips that name none.
    """

    model: Any
    beam_size: int

    def warm_up(self) -> None:
        """Sends noise past the voice gate, so that encoder and decoder really run; a few words are enough."""
        noise = np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE_HZ).astype(np.float32)
        prove([self._transcribe(Clip(noise), gated=False, max_new_tokens=8)])

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        return [self._heard(clip) for clip in only(Clip, items)]

    def _heard(self, clip: Clip) -> Transcript | Failure:
        failure = unusable(clip)
        if failure is not None:
            return failure
        if not voiced_s(clip):
            return Transcript(language=clip.language, language_probability=0.0, spans=(), speech_s=0.0)
        return self._transcribe(clip, gated=True)

    def _transcribe(self, clip: Clip, *, gated: bool, max_new_tokens: int | None = None) -> Transcript | Failure:
        known = clip.language if clip.language in self.model.supported_languages else None
        # Temperature 0 alone: the fallbacks sample, so that one clip would give two transcripts and take
        # up to six times as long. `confidence` and `compression` tell later stages what to distrust.
        segments, info = self.model.transcribe(
            clip.samples,
            language=known,
            beam_size=clip.beam_size or self.beam_size,
            temperature=0.0,
            condition_on_previous_text=False,
            max_new_tokens=max_new_tokens,
            word_timestamps=clip.by_sentence,
            vad_filter=gated,
            vad_parameters=GATE,
        )
        heard = list(segments)  # decoding happens only now
        numbers = [info.language_probability, *(segment.avg_logprob for segment in heard)]
        if not all(math.isfinite(number) for number in numbers):
            return Failure(error="NonFiniteScore")
        return Transcript(
            language=info.language,
            language_probability=info.language_probability,
            spans=tuple(_span(segment, stretch, info.duration) for segment in heard for stretch in _stretches(segment)),
            speech_s=info.duration_after_vad,
        )


def _stretches(segment: Any) -> Iterator[Word]:
    """The sentences of a segment whose words are timed, else the segment as it is; nothing blank."""
    if segment.words:
        timed = [Word(float(word.start), float(word.end), word.word) for word in segment.words]
        found = [
            Word(said[0].start_s, said[-1].end_s, "".join(word.text for word in said)) for said in sentences(timed)
        ]
    else:
        found = [Word(segment.start, segment.end, segment.text)]
    return (stretch for stretch in found if stretch.text.strip())


def _span(segment: Any, stretch: Word, duration_s: float) -> Span:
    """Cut at the end of the clip: Whisper sees 30 s, and at times puts words into the padding."""
    return Span(
        start_s=round(min(stretch.start_s, duration_s), 2),
        end_s=round(min(stretch.end_s, duration_s), 2),
        text=stretch.text.strip(),
        confidence=min(1.0, math.exp(segment.avg_logprob)),
        no_speech=segment.no_speech_prob,
        compression=segment.compression_ratio,
    )


def load_whisper(card: Card, folder: Path, *, device: str, threads: int) -> Whisper:
    """The model of `folder`; `threads` 0 takes CTranslate2's own default of four."""
    absent = [name for name in FILES if not (folder / name).is_file()]
    if absent:
        raise CardError(f"{card.id}: {folder} lacks {', '.join(absent)}")
    on_cuda = device.startswith("cuda") or (device == "auto" and ctranslate2.get_cuda_device_count() > 0)
    name, _, index = device.partition(":")
    model = OneEncoding(
        str(folder),
        device="cuda" if on_cuda else "cpu",
        device_index=int(index) if name == "cuda" and index else 0,
        compute_type=str(card.fields.options.get("compute_type", "float16" if on_cuda else "int8")),
        cpu_threads=threads,
        local_files_only=True,
    )
    return Whisper(model, beam_size=int(card.fields.options.get("beam_size", 1)))
