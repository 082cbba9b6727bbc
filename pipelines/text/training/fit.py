"""One logistic regression per policy on frozen embeddings, then Platt scaling on examples it did not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.cards import Calibration
from pipelines.policies import POLICY_IDS
from pipelines.text.embedding_head import Head
from pipelines.text.training.datasets import Example, Split

STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Inverse regularisation strengths tried per policy; the calibration split chooses."""
PHRASE_WEIGHT = 2.0
"""Phrases are what the pool will read; public comments outnumber them."""
SEED = 7

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
    """The examples of one split that say something about one policy."""

    vectors: Floats
    truth: NDArray[np.bool_]
    weights: Floats


def fit(examples: Sequence[Example], vectors: NDArray[np.float32]) -> Fitted:
    """The head for all policies. Deterministic: the same examples and vectors give the same numbers."""
    mean, spread = _scale(examples, vectors)
    scaled = (vectors.astype(np.float64) - mean) / spread
    rows, biases = [], []
    calibrations: dict[str, Calibration] = {}
    strengths: dict[str, float] = {}
    for policy in POLICY_IDS:
        training, judging = (known_of(policy, split, examples, scaled) for split in ("train", "calibration"))
        weight, bias, strengths[policy] = _best(training, judging)
        calibrations[policy] = _platt(judging.vectors @ weight + bias, judging)
        rows.append(weight / spread)
        biases.append(bias - float(weight @ (mean / spread)))
    head = Head(POLICY_IDS, np.array(rows, dtype=np.float32), np.array(biases, dtype=np.float32))
    return Fitted(head, calibrations, strengths)


def known_of(policy: str, split: Split, examples: Sequence[Example], vectors: Floats) -> Known:
    """`FitError` when the split lacks positive or negative examples of the policy."""
    chosen = [at for at, example in enumerate(examples) if example.split == split and policy in example.known]
    truth = np.array([examples[at].known[policy] for at in chosen], dtype=np.bool_)
    if not chosen or truth.all() or not truth.any():
        raise FitError(f"{policy}: the {split} examples are all alike; add phrases or data")
    weights = np.array([PHRASE_WEIGHT if examples[at].source == "phrases" else 1.0 for at in chosen])
    return Known(vectors[chosen], truth, weights)


def _scale(examples: Sequence[Example], vectors: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Mean and spread per dimension of the training examples: E5 vectors all lie in one narrow cone."""
    training = vectors[[example.split == "train" for example in examples]].astype(np.float64)
    return training.mean(axis=0), training.std(axis=0) + 1e-9


def _best(training: Known, judging: Known) -> tuple[Floats, float, float]:
    """Weight, bias and strength of the regression with the least loss on examples it did not see."""
    found: list[tuple[float, Floats, float, float]] = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, class_weight="balanced", max_iter=500, random_state=SEED)
        model.fit(training.vectors, training.truth, sample_weight=training.weights)
        weight, bias = model.coef_[0].astype(np.float64), float(model.intercept_[0])
        logits = judging.vectors @ weight + bias
        found.append((_loss(logits, judging, _platt(logits, judging)), weight, bias, strength))
    _, weight, bias, strength = min(found, key=lambda candidate: candidate[0])
    return weight, bias, strength


def _platt(logits: Floats, judging: Known) -> Calibration:
    """Slope and intercept with which logits become probabilities; a falling slope would mean a useless head."""
    model = LogisticRegression(C=1e3, random_state=SEED)
    model.fit(logits[:, None], judging.truth, sample_weight=judging.weights)
    slope, intercept = max(float(model.coef_[0][0]), 0.0), float(model.intercept_[0])
    return Calibration(slope=round(slope, 4), intercept=round(intercept, 4))


def _loss(logits: Floats, judging: Known, calibration: Calibration) -> float:
    """Mean log loss, weighted as in training."""
    signed = np.where(judging.truth, 1, -1) * (calibration.slope * logits + calibration.intercept)
    return float(np.average(np.logaddexp(0, -signed), weights=judging.weights))
