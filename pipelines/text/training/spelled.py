"""The half of the head that reads characters: one logistic regression per label beside what the embeddings say.

The embeddings' logit goes in as one more feature, hardly held back. So the characters learn only what it leaves open,
and the sum of both needs no weighing afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from pipelines.text.spelling import features, runs
from pipelines.text.training.lines import Floats

BUCKETS = 1 << 17
FEWEST = 3
"""Texts that a bucket must occur in to count; what was seen once or twice is a name or a slip."""
LOUD = 10.0
"""The embeddings' logit is multiplied by it, which spares its weight the penalty; likewise the intercept."""
FOLDS = 3


@dataclass(frozen=True)
class Added:
    """One label's solution: `weight` [buckets], the factor of the embeddings' logit, and the intercept."""

    weight: NDArray[np.float32]
    factor: float
    bias: float

    def logits(self, spelt: csr_matrix, meant: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape [texts]: both halves together; `spelt` [texts, buckets], `meant` [texts]."""
        return np.asarray(spelt @ self.weight + self.factor * meant + self.bias, dtype=np.float32)


def rarity_of(texts: Sequence[str]) -> NDArray[np.float32]:
    """Shape [buckets]: inverse document frequency, 1 + ln((1 + texts) / (1 + texts with it)); 0 below `FEWEST`."""
    seen = np.zeros(BUCKETS)
    for text in texts:
        seen[runs(text, BUCKETS)[0]] += 1
    rarity = 1 + np.log((1 + len(texts)) / (1 + seen))
    return np.where(seen >= FEWEST, rarity, 0).astype(np.float32)


def matrix_of(texts: Sequence[str], rarity: NDArray[np.float32]) -> csr_matrix:
    """Shape [texts, buckets], rows as `pipelines.text.spelling.features` has them."""
    rows = [features(text, rarity) for text in texts]
    ends = np.cumsum([0, *(len(buckets) for buckets, _ in rows)])
    values = np.concatenate([values for _, values in rows])
    return csr_matrix((values, np.concatenate([buckets for buckets, _ in rows]), ends), shape=(len(rows), len(rarity)))


def folds_of(groups: Sequence[str]) -> NDArray[np.int64]:
    """A fold for each example, the same for all of a group."""
    return np.array([hashlib.sha256(group.encode()).digest()[0] % FOLDS for group in groups])


def add(spelt: csr_matrix, meant: Floats, truth: NDArray[np.bool_], weights: Floats, strength: float) -> Added:
    """What the characters add to the logits `meant` [texts]; deterministic. `strength` is inverse regularisation."""
    both = hstack([spelt, csr_matrix(LOUD * meant[:, None])], format="csr")
    model = LogisticRegression(C=strength, solver="liblinear", intercept_scaling=LOUD, random_state=0, max_iter=200)
    model.fit(both, truth, sample_weight=weights)
    found = model.coef_[0]
    return Added(found[:-1].astype(np.float32), float(found[-1]) * LOUD, float(model.intercept_[0]))
