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
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModel, AutoTokenizer

from pipelines.cards import Card, CardError
from pipelines.items import Item, Picture, Result
from pipelines.scoring import only, rehearse, scored, sigmoid, table
from pipelines.sessions.adapter import adapter_of
from pipelines.sessions.pytorch import load_shared
from pipelines.vision.pixels import WARM_UP_PICTURES, Pixels, load_preparation

TOWERS = ("get_image_features", "get_text_features", "logit_scale")
"""What a model must have to compare pictures with phrases."""


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


def load_zero_shot_classifier(card: Card, folder: Path, *, device: str, threads: int) -> ZeroShotClassifier:
    """Embeds the card's prompts once; `CardError` when a label has none or CLIP has no benign label."""
    labels = card.fields.labels
    wordless = [name for name, label in labels.items() if not label.prompts]
    if wordless:
        raise CardError(f"{card.id}: labels.{wordless[0]}: a zero-shot label needs prompts")
    benign = tuple(not label.policies for label in labels.values())
    kind = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False).model_type
    module = load_shared(AutoModel, folder, device=device, threads=threads, adapter=adapter_of(card))
    if kind == "siglip2" or not all(hasattr(module, name) for name in TOWERS):
        raise CardError(f"{card.id}: zero-shot takes CLIP, SigLIP and the like, of one picture size, not {kind}")
    bias = float(module.logit_bias.item()) if hasattr(module, "logit_bias") else None
    if bias is None and not any(benign):
        raise CardError(f"{card.id}: labels: CLIP needs a label without policies to compare with")

    def embed(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            features = module.get_image_features(pixel_values=torch.from_numpy(pixels).to(module.device))
        return _unit(features)

    return ZeroShotClassifier(
        labels=tuple(labels),
        benign=benign,
        owners=np.array([index for index, label in enumerate(labels.values()) for _ in label.prompts]),
        prompts=_embed_prompts(module, folder, [prompt for label in labels.values() for prompt in label.prompts]),
        scale=float(module.logit_scale.exp().item()),
        bias=bias,
        prepare=load_preparation(folder),
        embed=embed,
    )


def _embed_prompts(module: Any, folder: Path, prompts: list[str]) -> NDArray[np.float32]:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    cut = {"truncation": True, "max_length": module.config.text_config.max_position_embeddings, "return_tensors": "pt"}
    if module.config.model_type == "siglip":
        # SigLIP was trained on lower-case texts padded to full length, and attends to the padding.
        tokens = {"input_ids": tokenizer([text.lower() for text in prompts], padding="max_length", **cut).input_ids}
    else:
        encoded = tokenizer(prompts, padding=True, **cut)
        tokens = {name: encoded[name] for name in ("input_ids", "attention_mask")}
    with torch.inference_mode():
        return _unit(module.get_text_features(**{name: ids.to(module.device) for name, ids in tokens.items()}))


def _unit(features: Any) -> NDArray[np.float32]:
    """Rows of length one, whether transformers gives a tensor or an output object."""
    tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
    return np.asarray(torch.nn.functional.normalize(tensor, dim=-1).cpu().numpy(), dtype=np.float32)
