"""What the frozen lower layers of the encoder make of every text, computed once and kept on disk.

Training changes only the upper layers, so an epoch starts from here: half of the forward pass is never repeated. States
are kept as float16 (some 770 bytes a token for 384 dimensions), one file a part of the texts, mapped into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.masking_utils import create_bidirectional_mask

from pipelines.text.encoder import Embedder, Window
from pipelines.text.tokens import length_buckets
from pipelines.text.training.progress import Progress, Rate

PART_TOKENS = 60_000
"""Between two writes: what an interruption costs at most, half a minute of work; 46 MB."""
BATCH = 32


class StateStore:
    """States after the first `layers` layers, by window, under `folder`, which belongs to one encoder and `layers`."""

    def __init__(self, folder: Path, embedder: Embedder, layers: int) -> None:
        self.layers = layers
        self._folder = folder
        self._embedder = embedder
        self._where: dict[bytes, tuple[NDArray[np.float16], int]] = {}
        for path in sorted(folder.glob("*.index.npz")):
            self._open(path)

    def prepare(self, windows: Sequence[Window], progress: Progress) -> None:
        """Computes the states that are not there yet, short windows first."""
        missing = sorted({window for window in windows if key_of(window) not in self._where}, key=len)
        rate = Rate("lower layers", sum(map(len, missing)), "tokens", progress)
        for part in _parts(missing):
            self._add(part)
            rate.add(sum(map(len, part)))

    def batch(self, windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
        """States [windows, longest, dimensions] float32 and mask [windows, longest]; all must have been prepared."""
        states = torch.zeros((len(windows), max(map(len, windows)), self._embedder.dimensions))
        mask = torch.zeros(states.shape[:2])
        for row, window in enumerate(windows):
            part, start = self._where[key_of(window)]
            states[row, : len(window)] = torch.from_numpy(part[start : start + len(window)].astype(np.float32))
            mask[row, : len(window)] = 1
        return states, mask

    def _add(self, windows: Sequence[Window]) -> None:
        starts = np.cumsum([0, *map(len, windows)])
        part = np.zeros((int(starts[-1]), self._embedder.dimensions), dtype=np.float16)
        for chosen in length_buckets([len(window) for window in windows], BATCH):
            found = self._lower([windows[at] for at in chosen])
            for row, at in enumerate(chosen):
                part[starts[at] : starts[at + 1]] = found[row, : len(windows[at])]
        keys = [key_of(window) for window in windows]
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder / f"{name}.npy", lambda file: np.save(file, part))
        index = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32)
        path = self._folder / f"{name}.index.npz"
        _write(path, lambda file: np.savez(file, keys=index, starts=starts[:-1]))
        self._open(path)

    def _open(self, path: Path) -> None:
        part = np.load(path.with_name(path.name.replace(".index.npz", ".npy")), mmap_mode="r")
        with np.load(path) as index:
            for key, start in zip(map(bytes, index["keys"]), map(int, index["starts"]), strict=True):
                self._where[key] = (part, start)

    def _lower(self, windows: Sequence[Window]) -> NDArray[np.float16]:
        encoder = self._embedder.module
        ids, mask = self._embedder.padded(windows)
        with torch.inference_mode():
            states = encoder.embeddings(input_ids=ids)
            states = through(encoder, 0, self.layers, states, mask)
        return states.cpu().numpy().astype(np.float16)


def _parts(windows: Sequence[Window]) -> Iterator[list[Window]]:
    part: list[Window] = []
    tokens = 0
    for window in windows:
        part.append(window)
        tokens += len(window)
        if tokens >= PART_TOKENS:
            yield part
            part, tokens = [], 0
    if part:
        yield part


def through(encoder: Any, first: int, last: int, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The states after layers `first` to `last` (not included) of a BERT encoder; `mask` is 1 where a token is."""
    attention = create_bidirectional_mask(config=encoder.config, inputs_embeds=states, attention_mask=mask)
    for layer in encoder.encoder.layer[first:last]:
        states = layer(states, attention)
    return states


def key_of(window: Window) -> bytes:
    """Changes with whatever changes the window: normalisation, tokenizer, length."""
    return hashlib.sha256(np.array(window, dtype=np.int32).tobytes()).digest()


def _write(path: Path, write: Callable[[Any], None]) -> None:
    """Whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        write(file)
    temporary.replace(path)
