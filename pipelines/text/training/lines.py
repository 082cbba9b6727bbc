"""Examples as the pool would see them: the views of one line together, its strongest score counting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.text.embedding_head import Head
from pipelines.text.language import language_of
from pipelines.text.training.datasets import Example, Split

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """`examples` without second views; `scores` [lines, labels] are native scores, the highest of a line's views.

    `languages` are what the pool would take each line for, which decides its calibration.
    """

    examples: tuple[Example, ...]
    scores: Floats
    languages: tuple[str | None, ...]


def lines_of(head: Head, examples: Sequence[Example], vectors: NDArray[np.float32], split: Split) -> Lines:
    """The lines of one split; `vectors` belong to `examples` row by row."""
    at_line: dict[tuple[str, str, str], int] = {}
    kept: list[Example] = []
    rows: list[int] = []
    owners: list[int] = []
    for row, example in enumerate(examples):
        if example.split != split:
            continue
        key = (example.source, example.group, example.written or example.text)
        if key not in at_line:
            at_line[key] = len(kept)
            kept.append(example)
        rows.append(row)
        owners.append(at_line[key])
    scores = np.zeros((len(kept), len(head.labels)))
    if rows:
        logits = head.logits(vectors[rows], [examples[row].text for row in rows]).astype(np.float64)
        np.maximum.at(scores, np.array(owners), 1 / (1 + np.exp(-logits)))
    languages = tuple(language_of(example.written or example.text) for example in kept)
    return Lines(tuple(kept), scores, languages)
