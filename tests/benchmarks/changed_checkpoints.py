"""Checkpoints that say something else than the shipped ones at the same cost: what a rescan after a swap meets.

Each is made of the shipped checkpoint's own files with its last bias shifted, so nothing comes from outside.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import yaml
from onnx import numpy_helper

from pipelines.cards import Card, read_card
from pipelines.checkpoints import ensure
from pipelines.checkpoints.folder import entries, sha256_of
from pipelines.text.embedding_head import HEAD_FILE, read_head, write_head
from workers.config import Config

GRAPH_FILE = "model.onnx"
HEAD_SHIFT = 0.7
GRAPH_SHIFT = 4.0
"""In log-odds: enough to move some verdicts across a threshold, and not all."""


def with_other(config: Config, slot: str, directory: Path) -> Config:
    """The settings with another checkpoint in this slot; cards and models lie below `directory` then.

    The slot must be filled by an embedding head or by an ONNX image classifier.
    """
    cards, models = directory / "cards", directory / "models"
    shutil.copytree(config.cards_directory, cards)
    models.mkdir()
    for filling in config.slots.values():
        folder = ensure(read_card(config.cards_directory / filling.checkpoint), config.models).folder
        (models / filling.checkpoint).symlink_to(folder)
    before = read_card(config.cards_directory / config.slots[slot].checkpoint)
    name = f"{before.id}-other"
    shutil.copytree(models / before.id, models / name)
    shutil.copytree(before.folder, cards / name)
    if before.fields.kind == "embedding-head":
        _shift_head(cards / name / HEAD_FILE)
    else:
        _shift_graph(models / name / GRAPH_FILE)
    _write_card(before, cards / name, models / name)
    filling = config.slots[slot].model_copy(update={"checkpoint": name})
    return config.model_copy(
        update={"slots": {**config.slots, slot: filling}, "cards_directory": cards, "models_directory": models}
    )


def _shift_head(path: Path) -> None:
    head = read_head(path)
    write_head(replace(head, bias=head.bias + np.float32(HEAD_SHIFT)), path)


def _shift_graph(path: Path) -> None:
    """Raises the last class of a classifier that ends in matrix, bias and softmax."""
    model = onnx.load(path)
    bias_name = next(node for node in reversed(model.graph.node) if node.op_type == "Add").input[1]
    tensor = next(one for one in model.graph.initializer if one.name == bias_name)
    bias = numpy_helper.to_array(tensor).copy()
    bias[-1] += GRAPH_SHIFT
    tensor.CopyFrom(numpy_helper.from_array(bias, bias_name))
    onnx.save(model, path)


def _write_card(before: Card, folder: Path, weights: Path) -> None:
    """The old card with the new files' sha256, which come from this machine."""
    fields = before.fields.model_dump(mode="json", exclude_none=True, exclude={"build"})
    fields["files"] = {name: sha256_of(path) for name, path in entries(weights).items()}
    fields["sources"] = [{"local": str(weights)}]
    front = yaml.safe_dump({**before.metadata, "liverisk": fields}, allow_unicode=True)
    (folder / "README.md").write_text(f"---\n{front}---\n{before.body}", encoding="utf-8")
