"""The examples as training takes them: token windows, targets, and who is in which split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.text.encoder import Embedder, Window
from pipelines.text.training.datasets import Example, Split
from pipelines.text.training.targets import targets


@dataclass(frozen=True)
class Corpus:
    """Everything by row; `truth` and `weight` are [examples, labels] as `pipelines.text.training.targets` has them."""

    examples: Sequence[Example]
    windows: Sequence[Window]
    lengths: Sequence[int]
    truth: NDArray[np.float32]
    weight: NDArray[np.float32]

    def rows(self, split: Split, sources: frozenset[str] | None = None) -> list[int]:
        """Rows of a split, of all sources or of these."""
        return [
            row
            for row, example in enumerate(self.examples)
            if example.split == split and (sources is None or example.source in sources)
        ]

    def members(self, split: Split) -> dict[str, list[int]]:
        """Source -> its rows of the split."""
        found: dict[str, list[int]] = {}
        for row in self.rows(split):
            found.setdefault(self.examples[row].source, []).append(row)
        return found

    def digest(self, sources: frozenset[str]) -> str:
        """Changes with whatever training on these sources depends on."""
        rows = [*self.rows("train", sources), *self.rows("tune", sources)]
        said = hashlib.sha256(json.dumps([[self.windows[row], self.examples[row].split] for row in rows]).encode())
        said.update(self.truth[rows].tobytes())
        said.update(self.weight[rows].tobytes())
        return said.hexdigest()


def corpus_of(examples: Sequence[Example], embedder: Embedder) -> Corpus:
    """Of a text longer than a window, its first one."""
    windows = [embedder.windows(example.text)[0] for example in examples]
    found = targets(examples)
    return Corpus(tuple(examples), windows, [len(window) for window in windows], found.truth, found.weight)
