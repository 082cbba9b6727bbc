"""Examples as the numbers that are learned: per label what is true, and how much it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.policies import POLICY_IDS
from pipelines.text.training.datasets import NATIVE_LABELS, PHRASES, Example

LABELS = (*POLICY_IDS, *NATIVE_LABELS)
"""Columns: what is shipped, then what only teaches the encoder."""

ASSUMED_WEIGHT = 0.2
"""Of a label that follows from the subject of a data set: mostly right, easy, and there are tens of thousands."""
SOURCE_WEIGHTS = {PHRASES: 1.0}
"""Phrases are what the pool will read; public comments outnumber them. Other sources count 1."""


@dataclass(frozen=True)
class Targets:
    """`truth` and `weight`, both [examples, labels] float32; a label that nobody knows weighs nothing."""

    truth: NDArray[np.float32]
    weight: NDArray[np.float32]


def targets(examples: Sequence[Example]) -> Targets:
    truth = np.zeros((len(examples), len(LABELS)), dtype=np.float32)
    weight = np.zeros_like(truth)
    columns = {label: column for column, label in enumerate(LABELS)}
    for row, example in enumerate(examples):
        source = SOURCE_WEIGHTS.get(example.source, 1.0)
        for label, value in (*example.known.items(), *example.native.items()):
            truth[row, columns[label]] = value
            weight[row, columns[label]] = source * (ASSUMED_WEIGHT if label in example.assumed else 1.0)
    return Targets(truth, weight)
