"""Frames against phrases: CLIP, SigLIP, SigLIP 2 and models built like them, with the phrases from the card.

Each label of the card has `prompts`; a label without policies is the benign side. A label's score is
that of its best prompt: SigLIP scores a prompt by itself (sigmoid), CLIP only against others, so there
the label is weighed against the best benign prompt and not against the other labels, which would
otherwise take from one another what they find together. Cards that differ in their phrases alone share the weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Card, CardError, Session
from pipelines.items import Item, Picture, Result
from pipelines.scoring import only, rehearse, scored, sigmoid, table
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

    def warm_up(self) -> None:
        rehearse(self.predict, WARM_UP_PICTURES)

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        pictures = only(Picture, items)
        if not pictures:
            return []
        cosines = self.embed(self.prepare(pictures)) @ self.prompts.T
        logits = self.scale * table(cosines, len(pictures), len(self.owners)) + (self.bias or 0.0)
        best = np.stack([logits[:, self.owners == label].max(axis=1) for label in range(len(self.labels))], axis=1)
        if self.bias is None:
            best = best - best[:, np.array(self.benign)].max(axis=1, keepdims=True)
        return [scored(self.labels, row) for row in sigmoid(best)]


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
    )
