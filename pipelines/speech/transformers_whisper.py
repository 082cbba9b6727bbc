"""Clips to transcripts: Whisper checkpoints as safetensors, through transformers.

For machines with a GPU and for fine-tuned checkpoints that nobody converted. Same gate, same meaning of every
field as `pipelines.speech.whisper`; spans are voiced windows of at most 28 s, not sentences, and
between two pauses where sentences are asked for.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor

from pipelines.items import SAMPLE_RATE_HZ, Clip, Failure, Item, Result, Span, Transcript
from pipelines.scoring import only, rehearse
from pipelines.sessions.pytorch import load_module
from pipelines.speech.voice import unusable, voiced_s

WINDOW_S = 28.0


@dataclass(frozen=True)
class TransformersWhisper:
    """`languages` maps ISO 639-1 to its control token; empty for English-only checkpoints."""

    module: Any
    processor: Any
    languages: dict[str, int]
    no_speech: int | None

    def warm_up(self) -> None:
        """Two windows of noise past the voice gate, as many voiced stretches give: encoder and decoder really run."""
        noise = Clip(np.random.default_rng(0).normal(0, 0.05, SAMPLE_RATE_HZ).astype(np.float32), by_sentence=True)
        rehearse(lambda clips: [self._transcribe(noise, ((0.0, 0.4), (0.5, 1.0))) for _ in clips], [noise])

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        return [self._heard(clip) for clip in only(Clip, items)]

    def _heard(self, clip: Clip) -> Transcript | Failure:
        failure = unusable(clip)
        if failure is not None:
            return failure
        stretches = voiced_s(clip)
        if not stretches:
            return Transcript(language=clip.language, language_probability=0.0, spans=(), speech_s=0.0)
        return self._transcribe(clip, stretches)

    def _transcribe(self, clip: Clip, stretches: Sequence[tuple[float, float]]) -> Transcript | Failure:
        windows = list(stretches) if clip.by_sentence else windows_of(stretches)
        spoken = [clip.samples[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)] for start, end in windows]
        features = self.processor.feature_extractor(spoken, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        features = features.input_features.to(self.module.device)
        with torch.inference_mode():
            first = self._first_step(features)
            if not torch.isfinite(first).all():
                return Failure(error="NonFiniteScore")
            language, probability = self._language(clip, first[0])
            spans = [
                self._span(features[index : index + 1], first[index], window, language, clip.beam_size or 1)
                for index, window in enumerate(windows)
            ]
        return Transcript(
            language=language,
            language_probability=probability,
            spans=tuple(span for span in spans if span.text),
            speech_s=round(sum(end - start for start, end in stretches), 3),
        )

    def _first_step(self, features: torch.Tensor) -> torch.Tensor:
        """Logits after the start token, windows x vocabulary: here the model names language and silence."""
        start = torch.full((len(features), 1), self.module.config.decoder_start_token_id, device=features.device)
        logits: torch.Tensor = self.module(features, decoder_input_ids=start).logits[:, 0]
        return logits

    def _language(self, clip: Clip, first: torch.Tensor) -> tuple[str, float]:
        if not self.languages:
            return "en", 1.0
        if clip.language in self.languages:
            return str(clip.language), 1.0
        names = list(self.languages)
        probabilities = first[list(self.languages.values())].softmax(0)
        best = int(probabilities.argmax())
        return names[best], float(probabilities[best])

    def _span(
        self, features: torch.Tensor, first: torch.Tensor, window: tuple[float, float], language: str, beams: int
    ) -> Span:
        chosen = {"language": language, "task": "transcribe"} if self.languages else {}
        written = self.module.generate(features, do_sample=False, num_beams=beams, **chosen)
        # Of several beams transformers keeps the scores along the chosen one.
        tokens = written.sequences[0, -len(written.scores) :] if written.scores else written.sequences[0, :0]
        logs = [float(step[0].log_softmax(0)[token]) for step, token in zip(written.scores, tokens, strict=True)]
        text = self.processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()
        return Span(
            start_s=round(window[0], 2),
            end_s=round(window[1], 2),
            text=text,
            confidence=math.exp(sum(logs) / len(logs)) if logs else 0.0,
            no_speech=float(first.softmax(0)[self.no_speech]) if self.no_speech is not None else 0.0,
            compression=len(text.encode()) / len(zlib.compress(text.encode())),
        )


def windows_of(stretches: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Neighbouring voiced stretches joined, pauses included, as long as they fit one window of the model."""
    windows: list[tuple[float, float]] = []
    for start, end in stretches:
        if windows and end - windows[-1][0] <= WINDOW_S:
            windows[-1] = (windows[-1][0], end)
        else:
            windows.append((start, end))
    return windows


def load_transformers_whisper(folder: Path, *, device: str, threads: int) -> TransformersWhisper:
    """The model of `folder` with its own feature extractor and tokenizer."""
    module = load_module(AutoModelForSpeechSeq2Seq, folder, device=device, threads=threads)
    # Set here and not in each call, where transformers would warn that one of them is ignored.
    module.generation_config.return_dict_in_generate = True
    module.generation_config.output_scores = True
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    named = getattr(module.generation_config, "lang_to_id", None) or {}
    no_speech = processor.tokenizer.convert_tokens_to_ids("<|nospeech|>")
    known = no_speech is not None and no_speech != processor.tokenizer.unk_token_id
    return TransformersWhisper(
        module=module,
        processor=processor,
        languages={token.strip("<|>"): int(index) for token, index in named.items()},
        no_speech=int(no_speech) if known else None,
    )
