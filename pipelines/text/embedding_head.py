"""Kind `embedding-head`: a sentence encoder, with an adapter or without, and one linear layer per policy on top.

Head and adapter lie beside the card and weigh kilobytes and a few megabytes, so a better one is a commit, not a
download. Several cards may share one encoder and differ in these two alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Card, CardError
from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.text.adapter import adapter_of
from pipelines.text.encoder import MAX_TOKENS, Embedder

HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class Head:
    """`weight` [labels, dimensions] and `bias` [labels], float32; a logit is their affine map of a unit vector."""

    labels: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape [vectors, labels]."""
        return np.asarray(vectors @ self.weight.T + self.bias, dtype=np.float32)


def read_head(path: Path) -> Head:
    """The head in a safetensors file; `CardError` in one line when it is missing or does not fit together."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as tensors:
            labels = json.loads((tensors.metadata() or {})["labels"])
            weight, bias = tensors.get_tensor("weight"), tensors.get_tensor("bias")
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CardError(f"{path.parent.name}: {path.name} unusable ({type(error).__name__})") from None
    if weight.shape[:1] != (len(labels),) or bias.shape != (len(labels),):
        raise CardError(f"{path.parent.name}: {path.name} has {len(labels)} labels for {weight.shape[:1]} rows")
    return Head(tuple(labels), weight.astype(np.float32), bias.astype(np.float32))


def write_head(head: Head, path: Path) -> None:
    from safetensors.numpy import save_file

    tensors = {"weight": head.weight.astype(np.float32), "bias": head.bias.astype(np.float32)}
    save_file(tensors, str(path), metadata={"labels": json.dumps(head.labels)})
    path.chmod(0o644)  # safetensors writes for its owner only


class EmbeddingHead:
    """A `Model` over `Line`: for each label the sigmoid of the highest logit of any window of the text."""

    def __init__(self, embedder: Embedder, head: Head) -> None:
        self._embedder = embedder
        self._head = head

    def warm_up(self) -> None:
        """One short and one long batch; raises when the weights give no finite scores."""
        results = self.predict([Line("hello"), Line("你好 " * MAX_TOKENS)])
        if any(isinstance(result, Failure) for result in results):
            raise ValueError("the encoder or its head gives scores that are not finite")

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        lines = [_line(item) for item in items]
        windows = [self._embedder.windows(line.text) for line in lines]
        flat = [window for parts in windows for window in parts]
        logits = self._head.logits(self._embedder.embed_windows(flat))
        results: list[Result] = []
        at = 0
        for parts in windows:
            results.append(self._result(logits[at : at + len(parts)].max(axis=0)))
            at += len(parts)
        return results

    def _result(self, logits: NDArray[np.float32]) -> Result:
        if not np.isfinite(logits).all():
            return Failure(error="NonFiniteScore")
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return Scores(labels=dict(zip(self._head.labels, map(float, scores), strict=True)))


def load_embedding_head(card: Card, folder: Path, *, session: str, device: str, threads: int) -> EmbeddingHead:
    """The encoder in `folder` with what lies beside the card; `CardError` when these or the card disagree."""
    if session not in ("auto", "torch"):
        raise CardError(f"{card.id}: an embedding head has no {session} session, only torch")
    head = read_head(card.folder / HEAD_FILE)
    missing = set(head.labels) ^ set(card.fields.labels)
    if missing:
        raise CardError(f"{card.id}: card and {HEAD_FILE} disagree on the labels {sorted(missing)}")
    max_tokens = int(card.fields.options.get("max_tokens", MAX_TOKENS))
    adapter = adapter_of(card)
    embedder = Embedder(folder, device=device, threads=threads, max_tokens=max_tokens, adapter=adapter)
    if head.weight.shape[1] != embedder.dimensions:
        raise CardError(f"{card.id}: {HEAD_FILE} fits {head.weight.shape[1]} dimensions, not {embedder.dimensions}")
    return EmbeddingHead(embedder, head)


def _line(item: Item) -> Line:
    if not isinstance(item, Line):
        raise TypeError(f"an embedding head reads lines, not {type(item).__name__}")
    return item
