"""Embeddings on disk: a second training run, or one that was interrupted, embeds only what is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.text.encoder import Embedder

PART = 1024
"""Texts between two writes: what an interruption costs at most, some ten seconds of work."""


class VectorCache:
    """Vectors by text under `folder`, which belongs to one encoder and one `max_tokens`: `name_for` names it."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        self._folder = folder
        self._embedder = embedder
        self._vectors: dict[bytes, NDArray[np.float32]] = {}
        for path in sorted(folder.glob("*.npz")):
            with np.load(path) as part:
                self._vectors.update(zip(map(bytes, part["keys"]), part["vectors"], strict=True))

    def embed(self, texts: Sequence[str], progress: Callable[[int, int], None]) -> NDArray[np.float32]:
        """Shape [texts, dimensions]; `progress` gets texts done and texts to do, in all new ones."""
        missing = sorted({text for text in texts if _key(text) not in self._vectors}, key=len)
        for at in range(0, len(missing), PART):
            progress(at, len(missing))
            self._add(missing[at : at + PART])
        progress(len(missing), len(missing))
        return np.stack([self._vectors[_key(text)] for text in texts])

    def _add(self, texts: Sequence[str]) -> None:
        vectors = self._embedder.embed(texts)
        keys = [_key(text) for text in texts]
        self._folder.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:16]
        temporary = self._folder / f".{name}.tmp"
        with temporary.open("wb") as file:
            np.savez(file, keys=np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32), vectors=vectors)
        temporary.replace(self._folder / f"{name}.npz")
        self._vectors.update(zip(keys, vectors, strict=True))


def name_for(encoder_sha256: str, max_tokens: int) -> str:
    """A folder name that changes with whatever changes a vector."""
    return f"text-risk-vectors-{encoder_sha256[:12]}-{max_tokens}"


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
