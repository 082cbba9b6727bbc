"""The two halves of a zero-shot checkpoint, which put pictures and phrases into one space: by torch, or by two graphs.

Graphs are `vision_model.onnx` and `text_model.onnx`, as transformers.js names them. The scale and bias of the
scores are in neither: they come from `model.safetensors`, or from the card's options `logit_scale` and `logit_bias`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig, AutoTokenizer

from pipelines.cards import Card, CardError, Session
from pipelines.vision.pixels import Pixels

Vectors = NDArray[np.float32]
"""n x dimensions, rows of length one."""
Tokens = Mapping[str, NDArray[np.int64]]
"""Arrays of phrases x tokens by the name of the model's input."""

GRAPHS: dict[Session, tuple[str, str]] = {
    "onnx": ("vision_model.onnx", "text_model.onnx"),
    "onnx-int8": ("vision_model.int8.onnx", "text_model.int8.onnx"),
}
NEEDED = ("get_image_features", "get_text_features", "logit_scale")
"""What a transformers model must have to compare pictures with phrases."""


@dataclass(frozen=True)
class Towers:
    """A score's logit is `scale` times the cosine plus `bias`; without a bias it means something only beside others."""

    see: Callable[[Pixels], Vectors]
    read: Callable[[Sequence[str]], Vectors]
    scale: float
    bias: float | None


def load_towers(card: Card, folder: Path, *, session: Session, device: str, threads: int) -> Towers:
    """Both halves of `folder`; `CardError` when it holds no such checkpoint."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if config.model_type == "siglip2":
        raise CardError(f"{card.id}: a SigLIP 2 of any picture size does not run here; take one of a fixed size")
    if session == "torch":
        return _by_torch(card, folder, config, device=device, threads=threads)
    return _by_graphs(card, folder, config, session, device=device, threads=threads)


def _by_torch(card: Card, folder: Path, config: Any, *, device: str, threads: int) -> Towers:
    import torch
    from transformers import AutoModel

    from pipelines.sessions.adapter import adapter_of
    from pipelines.sessions.pytorch import load_shared

    module = load_shared(AutoModel, folder, device=device, threads=threads, adapter=adapter_of(card))
    if not all(hasattr(module, name) for name in NEEDED):
        raise CardError(f"{card.id}: zero-shot takes CLIP, SigLIP and models like them, not {config.model_type}")

    def vectors(features: Any) -> Vectors:
        """From a tensor or an output object, as transformers gives one or the other."""
        tensor = features if isinstance(features, torch.Tensor) else features.pooler_output
        return _unit(tensor.cpu().numpy())

    def see(pixels: Pixels) -> Vectors:
        with torch.inference_mode():
            return vectors(module.get_image_features(pixel_values=torch.from_numpy(pixels).to(module.device)))

    def read(phrases: Sequence[str]) -> Vectors:
        tokens = _tokens(folder, config, phrases)
        there = {name: torch.from_numpy(ids).to(module.device) for name, ids in tokens.items()}
        with torch.inference_mode():
            return vectors(module.get_text_features(**there))

    bias = float(module.logit_bias.item()) if hasattr(module, "logit_bias") else None
    return Towers(see, read, scale=float(module.logit_scale.exp().item()), bias=bias)


def _by_graphs(card: Card, folder: Path, config: Any, session: Session, *, device: str, threads: int) -> Towers:
    from pipelines.sessions.onnx_runtime import graph_file, open_named_graph

    sight, text = (graph_file(folder, name) for name in GRAPHS[session])
    seen = open_named_graph(sight, ("pixel_values",), ("image_embeds", "pooler_output"), device=device, threads=threads)
    offered = ("input_ids", "attention_mask")
    phrased = open_named_graph(text, offered, ("text_embeds", "pooler_output"), device=device, threads=threads)

    def read(phrases: Sequence[str]) -> Vectors:
        tokens = _tokens(folder, config, phrases)
        whole = {"attention_mask": np.ones_like(tokens["input_ids"]), **tokens}
        return _unit(phrased(whole))

    scale, bias = _scale_and_bias(card, folder)
    if config.model_type == "siglip" and bias is None:
        raise CardError(f"{card.id}: options: graphs of SigLIP need logit_bias where there is no model.safetensors")
    return Towers(lambda pixels: _unit(seen({"pixel_values": pixels})), read, scale, bias)


def _scale_and_bias(card: Card, folder: Path) -> tuple[float, float | None]:
    from safetensors import safe_open

    stored: dict[str, float] = {}
    path = folder / "model.safetensors"
    if path.is_file():
        with safe_open(str(path), framework="numpy") as tensors:
            names = {"logit_scale", "logit_bias"} & set(tensors.keys())
            stored = {name: float(tensors.get_tensor(name).item()) for name in names}
    if "logit_scale" in stored:
        stored["logit_scale"] = math.exp(stored["logit_scale"])
    given = {
        name: float(card.fields.options[name]) for name in ("logit_scale", "logit_bias") if name in card.fields.options
    }
    known = stored | given
    if "logit_scale" not in known:
        raise CardError(f"{card.id}: options: graphs need logit_scale where there is no model.safetensors")
    return known["logit_scale"], known.get("logit_bias")


def _tokens(folder: Path, config: Any, phrases: Sequence[str]) -> Tokens:
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    cut = {"truncation": True, "max_length": config.text_config.max_position_embeddings, "return_tensors": "np"}
    if config.model_type == "siglip":
        # SigLIP was trained on lower-case texts padded to full length, and attends to the padding.
        return {"input_ids": tokenizer([text.lower() for text in phrases], padding="max_length", **cut)["input_ids"]}
    encoded = tokenizer(list(phrases), padding=True, **cut)
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def _unit(features: NDArray[np.floating]) -> Vectors:
    length = np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)
    return np.asarray(features / length, dtype=np.float32)
