"""Lines to native labels with any sequence classifier of transformers: XLM-R toxicity models and the like.

Card options: `max_tokens` of one window (default 256), `batch` windows at a time (default 32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pipelines.cards import Card, CardError
from pipelines.items import Item, Line, Result
from pipelines.scoring import only, prove, scored, sigmoid, softmax
from pipelines.sessions.pytorch import load_module
from pipelines.text.tokens import length_buckets, neutralised, reserved_strings

OVERLAP_TOKENS = 32
"""Consecutive windows of a long line share this much, so that no phrase is cut in all of them."""


@dataclass(frozen=True)
class TextClassifier:
    """A line longer than `max_tokens` is read in overlapping windows; each label keeps its highest score."""

    labels: tuple[str, ...]
    module: Any
    tokenizer: Any
    reserved: tuple[str, ...]
    activate: Callable[[NDArray[np.floating]], NDArray[np.float64]]
    max_tokens: int
    batch: int

    def warm_up(self) -> None:
        prove(self.predict([Line("warm-up"), Line("warm-up " * 40)]))

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        lines = only(Line, items)
        if not lines:
            return []
        encoded = self.tokenizer(
            [neutralised(line.text, self.reserved) for line in lines],
            truncation=True,
            max_length=self.max_tokens,
            stride=min(OVERLAP_TOKENS, self.max_tokens // 4),
            return_overflowing_tokens=True,
        )
        values = self.activate(self._logits(encoded["input_ids"]))
        owners = np.array(encoded["overflow_to_sample_mapping"])
        return [scored(self.labels, values[owners == index].max(axis=0)) for index in range(len(lines))]

    def _logits(self, windows: list[list[int]]) -> NDArray[np.float32]:
        logits = np.empty((len(windows), len(self.labels)), dtype=np.float32)
        for bucket in length_buckets([len(window) for window in windows], self.batch):
            padded = self.tokenizer.pad({"input_ids": [windows[index] for index in bucket]}, return_tensors="pt")
            with torch.inference_mode():
                output = self.module(
                    input_ids=padded["input_ids"].to(self.module.device),
                    attention_mask=padded["attention_mask"].to(self.module.device),
                )
            logits[bucket] = output.logits.cpu().numpy()
        return logits


def load_text_classifier(card: Card, folder: Path, *, device: str, threads: int) -> TextClassifier:
    """Sigmoid where the checkpoint says multi-label or has a single label, softmax otherwise."""
    module = load_module(AutoModelForSequenceClassification, folder, device=device, threads=threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config = module.config
    labels = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    unknown = sorted(set(card.fields.labels) - set(labels))
    if unknown:
        raise CardError(f"{card.id}: labels: the checkpoint has no label {unknown[0]}; it has {', '.join(labels)}")
    multi_label = config.problem_type == "multi_label_classification" or config.num_labels == 1
    return TextClassifier(
        labels=labels,
        module=module,
        tokenizer=tokenizer,
        reserved=reserved_strings(tokenizer),
        activate=sigmoid if multi_label else softmax,
        max_tokens=min(int(card.fields.options.get("max_tokens", 256)), tokenizer.model_max_length),
        batch=int(card.fields.options.get("batch", 32)),
    )
