"""The encoder while it learns: upper layers with LoRA matrices beside their frozen weights, and one head per label."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file

from pipelines.sessions.adapter import ADAPTER_FILES, CONFIG_FILE, WEIGHTS_FILE, peft_said
from pipelines.text.encoder import Window, pooled
from pipelines.text.tokens import length_buckets
from pipelines.text.training.states import StateStore, through

TARGETS = ("query", "key", "value", "dense")
"""All six matrices of a BERT layer: `dense` is the attention's output and both of the feed-forward part."""
BATCH = 32
HIDDEN_DROPOUT = 0.1


@dataclass(frozen=True)
class Lora:
    """`layers` upper layers are adapted with matrices of rank `rank`; their product counts `alpha / rank` times."""

    layers: int = 6
    rank: int = 16
    alpha: int = 32


class Adapted(torch.nn.Module):
    """Deterministic for one `seed`. `encoder`, a transformers BERT model, is changed in place and belongs to this now.

    The heads read the pooled vector in standard units (`scale`), because E5 vectors all lie in one narrow cone.
    """

    def __init__(self, encoder: Any, lora: Lora, labels: int, *, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        every = len(encoder.encoder.layer)
        self.first = every - lora.layers
        config = LoraConfig(
            task_type=TaskType.FEATURE_EXTRACTION,
            r=lora.rank,
            lora_alpha=lora.alpha,
            target_modules=list(TARGETS),
            layers_to_transform=list(range(self.first, every)),
            layers_pattern="layer",
        )
        with peft_said():
            self.peft = get_peft_model(encoder, config)
        self._encoder = encoder
        self._upper = encoder.encoder.layer[self.first :]
        for layer in self._upper:
            layer.attention.self.dropout.p = 0.0  # with it, torch leaves its fast path
            layer.attention.output.dropout.p = 0.0  # drawing random numbers is slow; once a layer is enough
            layer.output.dropout.p = HIDDEN_DROPOUT
        dimensions = int(encoder.config.hidden_size)
        self.head = torch.nn.Linear(dimensions, labels)
        torch.nn.init.zeros_(self.head.weight)
        torch.nn.init.zeros_(self.head.bias)
        self.middle = torch.nn.Parameter(torch.zeros(dimensions), requires_grad=False)
        self.spread = torch.nn.Parameter(torch.ones(dimensions), requires_grad=False)

    def scale(self, vectors: NDArray[np.float32]) -> None:
        """Takes mean and spread of these vectors [texts, dimensions] for the standard units."""
        self.middle.copy_(torch.from_numpy(vectors.mean(axis=0)))
        self.spread.copy_(torch.from_numpy(vectors.std(axis=0) + 1e-6))

    def unit(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pooled vectors [texts, dimensions] of length one, from the states that the frozen layers left."""
        last = self.first + len(self._upper)
        return pooled(through(self._encoder, self.first, last, states, mask), mask)

    def train(self, mode: bool = True) -> Adapted:
        """Dropout in the upper layers alone: the lower ones may be computing states meanwhile."""
        super().train(False)
        for layer in self._upper:
            layer.train(mode)
        self.training = mode
        return self

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        """Shape [texts, labels]."""
        found: torch.Tensor = self.head((vectors - self.middle) / self.spread)
        return found

    def forward(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.logits(self.unit(states, mask))

    def learned(self) -> Mapping[str, torch.nn.Parameter]:
        """What training changes, by name."""
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def kept(self) -> Mapping[str, torch.nn.Parameter]:
        """What belongs into a snapshot: what is learned, and the scale."""
        return {**self.learned(), "middle": self.middle, "spread": self.spread}

    def restore(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Sets what is in `kept()` to these values; names and shapes must be the same."""
        kept = self.kept()
        if kept.keys() != tensors.keys():
            raise ValueError(f"a snapshot of another model: {len(kept)} tensors, not {len(tensors)}")
        with torch.no_grad():
            for name, parameter in kept.items():
                parameter.copy_(tensors[name])


class AdaptedVectors:
    """Embeds windows by the cached states and the upper layers as they are now; counterpart of `Embedder`."""

    def __init__(self, adapted: Adapted, store: StateStore) -> None:
        self._adapted = adapted
        self._store = store

    def embed_windows(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Shape [windows, dimensions]; the windows must have been prepared."""
        self._adapted.eval()
        vectors = np.zeros((len(windows), len(self._adapted.middle)), dtype=np.float32)
        with torch.inference_mode():
            for chosen in length_buckets([len(window) for window in windows], BATCH):
                states, mask = self._store.batch([windows[at] for at in chosen])
                vectors[chosen] = self._adapted.unit(states, mask).numpy()
        return vectors


def load_adapter(adapted: Adapted, folder: Path) -> None:
    """Sets the matrices to what `save_adapter` wrote; ValueError when they do not fit. The heads stay as they are."""
    tensors = load_file(str(folder / WEIGHTS_FILE))
    if {name: tensor.shape for name, tensor in tensors.items()} != {
        name: tensor.shape
        for name, tensor in get_peft_model_state_dict(adapted.peft, save_embedding_layers=False).items()
    }:
        raise ValueError(f"{folder.name}: {WEIGHTS_FILE} is of another encoder, rank or number of layers")
    set_peft_model_state_dict(adapted.peft, {name: tensor.float() for name, tensor in tensors.items()})


def save_adapter(adapted: Adapted, folder: Path, base_model: str) -> None:
    """Writes the two files of `pipelines.sessions.adapter` into `folder`, matrices as float16.

    `base_model` is the name under which the encoder is known; PEFT would write where it lies on this machine.
    """
    adapted.peft.peft_config["default"].base_model_name_or_path = base_model
    halves = {name: tensor.half() for name, tensor in adapted.peft.state_dict().items() if "lora_" in name}
    with tempfile.TemporaryDirectory() as temporary:
        # A README.md of its own stays there; about embeddings it would ask the hub.
        adapted.peft.save_pretrained(temporary, state_dict=halves, save_embedding_layers=False)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ADAPTER_FILES:
            data = (Path(temporary) / name).read_bytes()
            (folder / name).write_bytes(data.rstrip() + b"\n" if name == CONFIG_FILE else data)
