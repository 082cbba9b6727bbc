"""Frames to native labels: any image classifier as a safetensors checkpoint (torch) or an ONNX graph.

A LoRA adapter beside the card goes on top of the checkpoint (torch). Card options: `multi_label: true` where each label
is judged by itself and config.json does not say so; `pooling: tf-same` for ResNets converted from TensorFlow; for
graphs `onnx_input: nhwc-bgr` (default `nchw-rgb`) and `onnx_output: probabilities` (default `logits`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import AutoConfig

from pipelines.cards import Card, Session, native_labels
from pipelines.items import Item, Picture, Result
from pipelines.scoring import only, rehearse, scored, sigmoid, softmax, table
from pipelines.vision.pixels import WARM_UP_PICTURES, Pixels, load_preparation

Probabilities = NDArray[np.floating]
"""n x labels."""


@dataclass(frozen=True)
class ImageClassifier:
    """`prepare` on the CPU, `run` in the session, `activate` turns its output into scores per label."""

    labels: tuple[str, ...]
    prepare: Callable[[Sequence[Picture]], Pixels]
    run: Callable[[Pixels], NDArray[np.float32]]
    activate: Callable[[NDArray[np.floating]], Probabilities]

    def warm_up(self) -> None:
        rehearse(self.predict, WARM_UP_PICTURES)

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        pictures = only(Picture, items)
        if not pictures:
            return []
        values = self.activate(table(self.run(self.prepare(pictures)), len(pictures), len(self.labels)))
        return [scored(self.labels, row) for row in values]


def load_image_classifier(card: Card, folder: Path, *, session: Session, device: str, threads: int) -> ImageClassifier:
    """The classifier of `folder`; `CardError` when the card's options or labels do not fit it."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    labels = native_labels(card, config.id2label)
    activate: Callable[[NDArray[np.floating]], Probabilities]
    multi_label = bool(card.fields.options.get("multi_label", config.problem_type == "multi_label_classification"))
    activate = sigmoid if multi_label else softmax
    run: Callable[[Pixels], NDArray[np.float32]]
    if session == "torch":
        run = _torch_run(card, folder, device=device, threads=threads)
    else:
        run = _onnx_run(card, folder, session, device=device, threads=threads)
        if card.fields.options.get("onnx_output", "logits") == "probabilities":
            activate = _as_they_are
    return ImageClassifier(labels, load_preparation(folder), run, activate)


def _torch_run(card: Card, folder: Path, *, device: str, threads: int) -> Callable[[Pixels], NDArray[np.float32]]:
    import torch
    from transformers import AutoModelForImageClassification

    from pipelines.sessions.adapter import adapter_of
    from pipelines.sessions.pytorch import load_shared

    loader = AutoModelForImageClassification
    if card.fields.options.get("pooling") == "tf-same":
        from pipelines.vision.tf_same import TfSameResNet

        loader = TfSameResNet
    module = load_shared(loader, folder, device=device, threads=threads, adapter=adapter_of(card), labels=card.rows)

    def run(pixels: Pixels) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = module(pixel_values=torch.from_numpy(pixels).to(module.device)).logits
        return np.asarray(logits.cpu().numpy(), dtype=np.float32)

    return run


def _onnx_run(
    card: Card, folder: Path, session: Session, *, device: str, threads: int
) -> Callable[[Pixels], NDArray[np.float32]]:
    from pipelines.sessions.onnx_runtime import GRAPH_FILES, graph_file, open_graph

    graph = open_graph(graph_file(folder, GRAPH_FILES[session]), device=device, threads=threads)
    if card.fields.options.get("onnx_input", "nchw-rgb") == "nchw-rgb":
        return graph
    # The same normalised pixels in the order that graphs converted from Caffe and TensorFlow expect.
    return lambda pixels: graph(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)[..., ::-1]))


def _as_they_are(values: NDArray[np.floating]) -> Probabilities:
    return values
