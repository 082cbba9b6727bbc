"""Lines to native labels with any sequence classifier of transformers (torch) or its ONNX graph: XLM-R and others.

A LoRA adapter beside the card goes on top of the checkpoint (torch). Card options: `multi_label: true` where each label
is judged by itself and config.json does not say so; `max_tokens` of one window (default 256), `batch` windows at a time
(default 32).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer

from pipelines.cards import Card, Session, native_labels
from pipelines.items import Item, Line, Result
from pipelines.scoring import only, rehearse, scored, sigmoid, softmax, table
from pipelines.text.tokens import length_buckets, neutralised, reserved_strings

OVERLAP_TOKENS = 32
"""Consecutive windows of a long line share this much, so that no phrase is cut in all of them."""
WARM_UP_LINES = (*(Line("warm-up"),) * 7, Line("warm-up " * 400))
"""Chat as it comes, and one line that fills a window and more."""

Tokens = NDArray[np.int64]
"""windows x tokens: ids, or the mask that is 1 where there is a token."""
Run = Callable[[Tokens, Tokens], NDArray[np.float32]]
"""Ids and mask to logits, windows x labels."""


@dataclass(frozen=True)
class TextClassifier:
    """A line longer than `max_tokens` is read in overlapping windows; each label keeps its highest score."""

    labels: tuple[str, ...]
    run: Run
    tokenizer: Any
    reserved: tuple[str, ...]
    activate: Callable[[NDArray[np.floating]], NDArray[np.float64]]
    max_tokens: int
    batch: int

    def warm_up(self) -> None:
        rehearse(self.predict, WARM_UP_LINES)

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
            padded = self.tokenizer.pad({"input_ids": [windows[index] for index in bucket]}, return_tensors="np")
            logits[bucket] = table(
                self.run(padded["input_ids"], padded["attention_mask"]), len(bucket), len(self.labels)
            )
        return logits


def load_text_classifier(card: Card, folder: Path, *, session: Session, device: str, threads: int) -> TextClassifier:
    """Sigmoid where the checkpoint says multi-label or has a single label, softmax otherwise."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    labels = native_labels(card, config.id2label)
    if session == "torch":
        run = _torch_run(card, folder, device=device, threads=threads)
    else:
        run = _onnx_run(folder, session, device=device, threads=threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    multi_label = bool(card.fields.options.get("multi_label", config.problem_type == "multi_label_classification"))
    return TextClassifier(
        labels=labels,
        run=run,
        tokenizer=tokenizer,
        reserved=reserved_strings(tokenizer),
        activate=sigmoid if multi_label or len(labels) == 1 else softmax,
        max_tokens=min(int(card.fields.options.get("max_tokens", 256)), tokenizer.model_max_length),
        batch=int(card.fields.options.get("batch", 32)),
    )


def _torch_run(card: Card, folder: Path, *, device: str, threads: int) -> Run:
    import torch
    from transformers import AutoModelForSequenceClassification

    from pipelines.sessions.adapter import adapter_of
    from pipelines.sessions.pytorch import load_shared

    loader = AutoModelForSequenceClassification
    module = load_shared(loader, folder, device=device, threads=threads, adapter=adapter_of(card), labels=card.rows)

    def run(ids: Tokens, mask: Tokens) -> NDArray[np.float32]:
        with torch.inference_mode():
            output = module(
                input_ids=torch.from_numpy(ids).to(module.device),
                attention_mask=torch.from_numpy(mask).to(module.device),
            )
        return np.asarray(output.logits.cpu().numpy(), dtype=np.float32)

    return run


def _onnx_run(folder: Path, session: Session, *, device: str, threads: int) -> Run:
    from pipelines.sessions.onnx_runtime import GRAPH_FILES, graph_file, open_named_graph

    path = graph_file(folder, GRAPH_FILES[session])
    offered = ("input_ids", "attention_mask", "token_type_ids")
    graph = open_named_graph(path, offered, ("logits",), device=device, threads=threads)

    def run(ids: Tokens, mask: Tokens) -> NDArray[np.float32]:
        return graph({"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)})

    return run
