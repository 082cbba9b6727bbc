"""Embeddings on disk: a second training run, or one that was interrupted, embeds only what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.text.encoder import Window
from pipelines.text.training.progress import Progress, Rate
from pipelines.text.training.states import key_of

PART = 1024
"""Texts between two writes: what an interruption costs at most, some ten seconds of work."""


class WindowEncoder(Protocol):
    def embed_windows(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Shape [windows, dimensions], rows of length one."""


class VectorCache:
    """Vectors by window under `folder`, which belongs to one encoder with its adapter: `name_for` names it."""

    def __init__(self, folder: Path, encoder: WindowEncoder) -> None:
        self._folder = folder
        self._encoder = encoder
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as part:
                self._vectors.update(zip(map(bytes, part["keys"]), part["vectors"], strict=True))

    def embed(self, windows: Sequence[Window], progress: Progress) -> NDArray[np.float32]:
        """Shape [windows, dimensions]; says how far it is when there is something to compute."""
        missing = sorted({window for window in windows if key_of(window) not in self._vectors}, key=len)
        rate = Rate("vectors", sum(map(len, missing)), "tokens", progress)
        for at in range(0, len(missing), PART):
            part = missing[at : at + PART]
            self._add(part)
            rate.add(sum(map(len, part)))
        return np.stack([self._vectors[key_of(window)] for window in windows])

    def _add(self, windows: Sequence[Window]) -> None:
        vectors = self._encoder.embed_windows(windows)
        keys = [key_of(window) for window in windows]
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        temporary = self._folder / f".{name}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32), vectors=vectors)
        temporary.replace(self._folder / f"{name}.npz")
        self._vectors.update(zip(keys, vectors, strict=True))


def name_for(encoder_sha256: str, adapter: Path | None) -> str:
    """A folder name that changes with whatever changes a vector, beside its window; `adapter` is its weights' file."""
    adapted = hashlib.sha256(adapter.read_bytes()).hexdigest()[:12] if adapter else "frozen"
    return f"text-risk-vectors-{encoder_sha256[:12]}-{adapted}"
