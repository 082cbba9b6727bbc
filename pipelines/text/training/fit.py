"""One logistic regression per policy on frozen embeddings, then Platt scaling on folds it did not learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.cards import Calibration
from pipelines.policies import POLICY_IDS
from pipelines.text.embedding_head import Head
from pipelines.text.training.datasets import Example

STRENGTHS = (0.01, 0.03, 0.1)
"""Inverse regularisation strengths tried per policy; loss on left-out folds chooses. Weaker ones (0.003) were no worse
there but blurred lines that are plain."""
FOLDS = 4
PHRASE_WEIGHT = 6.0
"""Phrases are what the pool will read; public comments outnumber them. Weighting classes as well raised the
loss on left-out folds for every policy tried (violence .052 to .056, hate .151 to .155), so it is not done."""

Floats = NDArray[np.float64]


class FitError(ValueError):
    """A policy cannot be learned from these examples; one line that names it."""


@dataclass(frozen=True)
class Fitted:
    """A head and, per label, the calibration that belongs on the card; `strengths` is what was chosen."""

    head: Head
    calibrations: Mapping[str, Calibration]
    strengths: Mapping[str, float]


@dataclass(frozen=True)
class Known:
    """The training examples that say something about one policy; `folds` keeps groups together."""

    vectors: Floats
    truth: NDArray[np.bool_]
    weights: Floats
    folds: NDArray[np.int64]


def fit(examples: Sequence[Example], vectors: NDArray[np.float32]) -> Fitted:
    """The head for all policies. Deterministic: the same examples and vectors give the same numbers."""
    training = [at for at, example in enumerate(examples) if example.split == "train"]
    kept = [examples[at] for at in training]
    mean, spread = _scale(vectors[training])
    scaled = (vectors[training].astype(np.float64) - mean) / spread
    rows, biases = [], []
    calibrations: dict[str, Calibration] = {}
    strengths: dict[str, float] = {}
    for policy in POLICY_IDS:
        known = _known(policy, kept, scaled)
        strengths[policy], calibrations[policy] = _choose(known)
        weight, bias = _regress(known, np.ones(len(known.truth), dtype=np.bool_), strengths[policy])
        rows.append(weight / spread)
        biases.append(bias - float(weight @ (mean / spread)))
    head = Head(POLICY_IDS, np.array(rows, dtype=np.float32), np.array(biases, dtype=np.float32))
    return Fitted(head, calibrations, strengths)


def _scale(vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Mean and spread per dimension: E5 vectors all lie in one narrow cone."""
    wide = vectors.astype(np.float64)
    return wide.mean(axis=0), wide.std(axis=0) + 1e-9


def _known(policy: str, examples: Sequence[Example], vectors: Floats) -> Known:
    """`FitError` when a fold would be left without positive or negative examples of the policy."""
    chosen = [at for at, example in enumerate(examples) if policy in example.known]
    truth = np.array([examples[at].known[policy] for at in chosen], dtype=np.bool_)
    folds = np.array([_fold(examples[at].group) for at in chosen], dtype=np.int64)
    for value in (False, True):
        if len(set(folds[truth == value])) < FOLDS:
            raise FitError(f"{policy}: too few {'positive' if value else 'negative'} examples; add phrases or data")
    weights = np.array([PHRASE_WEIGHT if examples[at].source == "phrases" else 1.0 for at in chosen])
    return Known(vectors[chosen], truth, weights, folds)


def _fold(group: str) -> int:
    return hashlib.sha256(group.encode()).digest()[0] % FOLDS


def _choose(known: Known) -> tuple[float, Calibration]:
    """The strength with the least loss on left-out folds, and the calibration fitted on their logits."""
    found: list[tuple[float, float, Calibration]] = []
    for strength in STRENGTHS:
        logits = np.zeros(len(known.truth))
        for fold in range(FOLDS):
            out = known.folds == fold
            weight, bias = _regress(known, ~out, strength)
            logits[out] = known.vectors[out] @ weight + bias
        calibration = _platt(logits, known)
        found.append((_loss(logits, known, calibration), strength, calibration))
    _, strength, calibration = min(found, key=lambda candidate: candidate[0])
    return strength, calibration


def _regress(known: Known, rows: NDArray[np.bool_], strength: float) -> tuple[Floats, float]:
    """Weight and bias; the solver suits many more examples than dimensions, and is exact and deterministic."""
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50)
    model.fit(known.vectors[rows], known.truth[rows], sample_weight=known.weights[rows])
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _platt(logits: Floats, known: Known) -> Calibration:
    """Slope and intercept with which logits become probabilities; a falling slope would mean a useless head."""
    model = LogisticRegression(C=1e3)
    model.fit(logits[:, None], known.truth, sample_weight=known.weights)
    slope, intercept = max(float(model.coef_[0][0]), 0.0), float(model.intercept_[0])
    return Calibration(slope=round(slope, 4), intercept=round(intercept, 4))


def _loss(logits: Floats, known: Known, calibration: Calibration) -> float:
    """Mean log loss, weighted as in training."""
    signed = np.where(known.truth, 1, -1) * (calibration.slope * logits + calibration.intercept)
    return float(np.average(np.logaddexp(0, -signed), weights=known.weights))
