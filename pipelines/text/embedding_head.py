"""Kind `embedding-head`: a sentence encoder, with an adapter or without, and one linear layer per policy on top.

The layer reads the encoder's vector and, where the head has that half, the characters of the text. Head and adapter
lie beside the card and weigh a few megabytes, so a better one is a commit, not a download. Several cards may share one
encoder and differ in these two alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Card, CardError, Session
from pipelines.checkpoints.folder import digest_of, entries, sha256_of
from pipelines.embeddings import Embedding
from pipelines.items import Failure, Item, Line, Result, Scores
from pipelines.sessions.adapter import adapter_of
from pipelines.strict import Sha256
from pipelines.text.encoder import MAX_TOKENS, PREFIX, Embedder
from pipelines.text.spelling import Spelling

HEAD_FILE = "head.safetensors"
SPELLING = ("rarity", "spelling")
"""Tensors of the half about spelling, as `Spelling` has them."""


@dataclass(frozen=True)
class Head:
    """`weight` [labels, dimensions] and `bias` [labels], float32: an affine map of a unit vector.

    `spelling` adds to it what the characters of the text say.
    """

    labels: tuple[str, ...]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    spelling: Spelling | None = None

    def logits(self, vectors: NDArray[np.float32], texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape [texts, labels]; `vectors` [texts, dimensions] belong to the texts row by row."""
        return self.meant(vectors) + self.spelt(texts)

    def meant(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape [vectors, labels]: the part that the embeddings give."""
        return np.asarray(vectors @ self.weight.T + self.bias, dtype=np.float32)

    def spelt(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape [texts, labels]: the part that the characters give; nothing without that half."""
        if self.spelling is None:
            return np.zeros((len(texts), len(self.labels)), dtype=np.float32)
        return self.spelling.logits(texts)


def read_head(path: Path) -> Head:
    """The head in a safetensors file; `CardError` in one line when it is missing or does not fit together."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as tensors:
            labels = json.loads((tensors.metadata() or {})["labels"])
            weight, bias = tensors.get_tensor("weight"), tensors.get_tensor("bias")
            halves = [tensors.get_tensor(name) for name in SPELLING if name in tensors.keys()]  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CardError(f"{path.parent.name}: {path.name} unusable ({type(error).__name__})") from None
    if weight.shape[:1] != (len(labels),) or bias.shape != (len(labels),):
        raise CardError(f"{path.parent.name}: {path.name} has {len(labels)} labels for {weight.shape[:1]} rows")
    return Head(tuple(labels), weight.astype(np.float32), bias.astype(np.float32), _spelling(path, labels, halves))


def _spelling(path: Path, labels: Sequence[str], tensors: Sequence[NDArray[np.generic]]) -> Spelling | None:
    if not tensors:
        return None
    buckets = len(tensors[0])
    if len(tensors) < len(SPELLING) or buckets.bit_count() != 1 or tensors[1].shape != (buckets, len(labels)):
        raise CardError(f"{path.parent.name}: {path.name} has {' and '.join(SPELLING)} that do not fit together")
    return Spelling(*(tensor.astype(np.float32) for tensor in tensors))


def write_head(head: Head, path: Path) -> None:
    """The half about spelling is stored in half precision: it is megabytes."""
    from safetensors.numpy import save_file

    tensors = {"weight": head.weight.astype(np.float32), "bias": head.bias.astype(np.float32)}
    if head.spelling is not None:
        parts = (head.spelling.rarity, head.spelling.weight)
        tensors |= {name: part.astype(np.float16) for name, part in zip(SPELLING, parts, strict=True)}
    save_file(tensors, str(path), metadata={"labels": json.dumps(head.labels)})
    path.chmod(0o644)  # safetensors writes for its owner only


class EmbeddingHead:
    """A `Model` over `Line`: for each label the sigmoid of the highest logit of any window of the text.

    The text's spelling is judged once, as a whole.
    """

    def __init__(self, embedder: Embedder, head: Head, encoder: Sha256) -> None:
        """`encoder` is the digest of everything that makes a vector of a text."""
        self._embedder = embedder
        self._head = head
        self._encoder = encoder

    @property
    def encoder(self) -> Sha256:
        return self._encoder

    def warm_up(self) -> None:
        """One short and one long batch; raises when the weights give no finite scores."""
        results = self.predict([Line("hello"), Line("你好 " * MAX_TOKENS)])
        if any(isinstance(result, Failure) for result in results):
            raise ValueError("the encoder or its head gives scores that are not finite")

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        lines = [_line(item) for item in items]
        spelt = self._head.spelt([line.text for line in lines])
        brought = [self._brought(line) for line in lines]
        results: list[Result] = []
        for line, vectors, added, known in zip(lines, self._embedded(lines, brought), spelt, brought, strict=True):
            kept = Embedding.of(vectors, self._encoder) if line.keep else None
            logits = self._head.meant(vectors).max(axis=0) + added
            results.append(self._result(logits, kept, rescored=known is not None))
        return results

    def _embedded(
        self, lines: Sequence[Line], brought: Sequence[NDArray[np.float32] | None]
    ) -> Iterator[NDArray[np.float32]]:
        """Of each line [windows, dimensions]; the encoder runs for those alone that do not bring what it made of them.

        What is kept is rounded as it is stored, so that it is scored now as it will be later.
        """
        windows = [
            self._embedder.windows(line.text) if known is None else ()
            for line, known in zip(lines, brought, strict=True)
        ]
        flat = [window for parts in windows for window in parts]
        made = iter(self._embedder.embed_windows(flat) if flat else ())
        for line, known, parts in zip(lines, brought, windows, strict=True):
            vectors = np.stack([next(made) for _ in parts]) if known is None else known
            yield vectors.astype(np.float16).astype(np.float32) if line.keep else vectors

    def _brought(self, line: Line) -> NDArray[np.float32] | None:
        one = line.embedding
        if one is None or not one.is_by(self._encoder) or one.dimensions != self._head.weight.shape[1]:
            return None
        return one.vectors

    def _result(self, logits: NDArray[np.float32], embedding: Embedding | None, *, rescored: bool) -> Result:
        if not np.isfinite(logits).all():
            return Failure(error="NonFiniteScore")
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        labels = dict(zip(self._head.labels, map(float, scores), strict=True))
        return Scores(labels=labels, embedding=embedding, rescored=rescored)


def load_embedding_head(card: Card, folder: Path, *, session: Session, device: str, threads: int) -> EmbeddingHead:
    """The encoder in `folder` with what lies beside the card; `CardError` when these or the card disagree."""
    head = read_head(card.folder / HEAD_FILE)
    missing = set(head.labels) ^ set(card.fields.labels)
    if missing:
        raise CardError(f"{card.id}: card and {HEAD_FILE} disagree on the labels {sorted(missing)}")
    max_tokens = int(card.fields.options.get("max_tokens", MAX_TOKENS))
    adapter = adapter_of(card)
    if adapter is not None and session != "torch":
        raise CardError(f"{card.id}: an adapter needs the torch session, not {session}")
    embedder = Embedder(folder, device=device, threads=threads, max_tokens=max_tokens, adapter=adapter, session=session)
    if head.weight.shape[1] != embedder.dimensions:
        raise CardError(f"{card.id}: {HEAD_FILE} fits {head.weight.shape[1]} dimensions, not {embedder.dimensions}")
    return EmbeddingHead(embedder, head, encoder_digest(card, folder, max_tokens, session))


def encoder_digest(card: Card, folder: Path, max_tokens: int, session: Session) -> Sha256:
    """The digest over what makes a vector of a text: the folder's files, an adapter, and how long a window is.

    torch and a whole graph give equal vectors; an 8-bit graph has its own.
    """
    sums = card.fields.files or {name: sha256_of(path) for name, path in entries(folder).items()}
    without_head = [name for name in card.fields.artefacts if name != HEAD_FILE]
    encoder = card.model_copy(update={"fields": card.fields.model_copy(update={"artefacts": tuple(without_head)})})
    parts = (digest_of(encoder, sums), str(max_tokens), PREFIX, *([session] if session == "onnx-int8" else []))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _line(item: Item) -> Line:
    if not isinstance(item, Line):
        raise TypeError(f"an embedding head reads lines, not {type(item).__name__}")
    return item
