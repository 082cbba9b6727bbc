"""Frames against phrases: CLIP, SigLIP, SigLIP 2 and models built like them, with the phrases from the card.

Each label of the card has `prompts`; a label without policies is the benign side. A label's score is
that of its best prompt: SigLIP scores a prompt by itself (sigmoid), CLIP only against others, so there
the label is weighed against the best benign prompt and not against the other labels, which would
otherwise take from one another what they find together. Cards that differ in their phrases alone share the weights,
and what the encoder made of a frame for one of them serves the others, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Card, CardError, Session
from pipelines.checkpoints.folder import digest_of, entries, sha256_of
from pipelines.embeddings import Embedding
from pipelines.items import Failure, Item, Picture, Result, Scores, Seen
from pipelines.scoring import only, rehearse, scored, sigmoid, table
from pipelines.strict import Sha256
from pipelines.vision.pixels import WARM_UP_PICTURES, Pixels, load_preparation
from pipelines.vision.towers import load_towers


@dataclass(frozen=True)
class ZeroShotClassifier:
    """`prompts` are unit vectors, one row a phrase; `owners` says to which label each row belongs."""

    labels: tuple[str, ...]
    benign: tuple[bool, ...]
    owners: NDArray[np.int64]
    prompts: NDArray[np.float32]
    scale: float
    bias: float | None
    prepare: Callable[[Sequence[Picture]], Pixels]
    embed: Callable[[Pixels], NDArray[np.float32]]
    encoder: Sha256
    """The digest of everything that makes a vector of a frame."""

    def warm_up(self) -> None:
        rehearse(self.predict, WARM_UP_PICTURES)

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        pictures = iter(self._embedded(only(Picture, [item for item in items if not isinstance(item, Seen)])))
        vectors = [self._brought(item) if isinstance(item, Seen) else next(pictures) for item in items]
        known = [row for row in vectors if row is not None]
        scores = iter(sigmoid(self._logits(np.stack(known))) if known else ())
        return [
            Failure(error="OtherEncoder") if vector is None else self._result(item, vector, next(scores))
            for item, vector in zip(items, vectors, strict=True)
        ]

    def _embedded(self, pictures: Sequence[Picture]) -> Sequence[NDArray[np.float32]]:
        """A vector for each; what is kept is rounded as it is stored, so that it is scored now as it will be later."""
        if not pictures:
            return ()
        rows = table(self.embed(self.prepare(pictures)), len(pictures), self.prompts.shape[1])
        return [
            row.astype(np.float16).astype(np.float32) if picture.keep else row
            for picture, row in zip(pictures, rows, strict=True)
        ]

    def _brought(self, item: Seen) -> NDArray[np.float32] | None:
        own = item.embedding.is_by(self.encoder) and item.embedding.dimensions == self.prompts.shape[1]
        return item.embedding.vectors[0] if own else None

    def _logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[frames, labels]: of each label its best phrase."""
        logits = self.scale * (vectors @ self.prompts.T) + (self.bias or 0.0)
        best = np.stack([logits[:, self.owners == label].max(axis=1) for label in range(len(self.labels))], axis=1)
        if self.bias is None:
            best = best - best[:, np.array(self.benign)].max(axis=1, keepdims=True)
        return np.asarray(best, dtype=np.float32)

    def _result(self, item: Item, vector: NDArray[np.float32], row: NDArray[np.floating]) -> Result:
        result = scored(self.labels, row)
        if isinstance(result, Failure):
            return result
        kept = Embedding.of(vector[None], self.encoder) if isinstance(item, Picture) and item.keep else None
        return Scores(labels=result.labels, embedding=kept, rescored=isinstance(item, Seen))


def load_zero_shot_classifier(
    card: Card, folder: Path, *, session: Session, device: str, threads: int
) -> ZeroShotClassifier:
    """Embeds the card's prompts once; `CardError` when a label has none or CLIP has no benign label."""
    labels = card.fields.labels
    wordless = [name for name, label in labels.items() if not label.prompts]
    if wordless:
        raise CardError(f"{card.id}: labels.{wordless[0]}: a zero-shot label needs prompts")
    benign = tuple(not label.policies for label in labels.values())
    towers = load_towers(card, folder, session=session, device=device, threads=threads)
    if towers.bias is None and not any(benign):
        raise CardError(f"{card.id}: labels: CLIP needs a label without policies to compare with")
    return ZeroShotClassifier(
        labels=tuple(labels),
        benign=benign,
        owners=np.array([index for index, label in enumerate(labels.values()) for _ in label.prompts]),
        prompts=towers.read([prompt for label in labels.values() for prompt in label.prompts]),
        scale=towers.scale,
        bias=towers.bias,
        prepare=load_preparation(folder),
        embed=towers.see,
        encoder=encoder_digest(card, folder, session),
    )


def encoder_digest(card: Card, folder: Path, session: Session) -> Sha256:
    """The digest over what makes a vector of a frame: the folder's files and an adapter, not the card's phrases.

    torch and a whole graph give equal vectors; an 8-bit graph has its own.
    """
    sums = card.fields.files or {name: sha256_of(path) for name, path in entries(folder).items()}
    wordless = card.model_copy(update={"fields": card.fields.model_copy(update={"labels": {}})})
    parts = (digest_of(wordless, sums), *([session] if session == "onnx-int8" else []))
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
