"""One logistic regression per policy on the encoder's vectors, then Platt scaling on examples none learned from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.cards import Calibration, Label
from pipelines.policies import POLICY_IDS
from pipelines.text.embedding_head import Head
from pipelines.text.training.datasets import Example, Split
from pipelines.text.training.lines import Floats, Lines, lines_of
from pipelines.text.training.targets import LABELS, targets

STRENGTHS = (0.001, 0.005, 0.02, 0.1)
"""Inverse regularisation strengths tried; the loss on `tune`, over all policies, chooses one for all."""
FEWEST_GROUPS = 3
"""Of examples about a policy, and of others, in a split that says something about it."""
LANGUAGE_GROUPS = 12
"""As many on each side give a language its own calibration."""
PRIOR, LANGUAGE_PRIOR = 1.0, 8.0
"""How many examples' worth a calibration holds on to its beginning: to the score as it is, and to all languages'."""

NEWTON_STEPS = 25


class FitError(ValueError):
    """A policy cannot be learned from these examples; one line that names it."""


@dataclass(frozen=True)
class Fitted:
    """A head, what the card says of each of its labels, and the strength that was chosen."""

    head: Head
    labels: Mapping[str, Label]
    strength: float


def fit(examples: Sequence[Example], vectors: NDArray[np.float32]) -> Fitted:
    """The head for all policies. Deterministic: the same examples and vectors give the same numbers."""
    for policy in POLICY_IDS:
        for split in ("train", "calibrate"):
            _require(policy, examples, split)
    head, strength = _head(examples, vectors)
    lines = lines_of(head, examples, vectors, "calibrate")
    return Fitted(head, {policy: _label(policy, lines, column) for column, policy in enumerate(head.labels)}, strength)


def _require(policy: str, examples: Sequence[Example], split: Split) -> None:
    said = {(each.known[policy], each.group) for each in examples if each.split == split and policy in each.known}
    for value in (True, False):
        if sum(known == value for known, _ in said) < FEWEST_GROUPS:
            kind = "positive" if value else "negative"
            raise FitError(f"{policy}: too few {kind} examples to {split} on; add phrases or data")


def _head(examples: Sequence[Example], vectors: NDArray[np.float32]) -> tuple[Head, float]:
    """The head of the strength with the least loss on `tune`; its weights take vectors as they are."""
    rows = [row for row, example in enumerate(examples) if example.split == "train"]
    wide = vectors[rows].astype(np.float64)
    middle, spread = wide.mean(axis=0), wide.std(axis=0) + 1e-9  # E5 vectors all lie in one narrow cone
    units = (wide - middle) / spread
    known = targets([examples[row] for row in rows])
    found: list[tuple[float, float, Head]] = []
    for strength in STRENGTHS:
        weights, biases = [], []
        for policy in POLICY_IDS:
            column = LABELS.index(policy)
            said = known.weight[:, column] > 0
            weight, bias = _regress(units[said], known.truth[said, column], known.weight[said, column], strength)
            weights.append(weight / spread)
            biases.append(bias - float(weight @ (middle / spread)))
        head = Head(POLICY_IDS, np.array(weights, dtype=np.float32), np.array(biases, dtype=np.float32))
        found.append((_loss(head, examples, vectors), strength, head))
    _, strength, head = min(found, key=lambda candidate: candidate[0])
    return head, strength


def _regress(
    vectors: Floats, truth: NDArray[np.float32], weights: NDArray[np.float32], strength: float
) -> tuple[Floats, float]:
    """Weight and bias; the solver suits many more examples than dimensions, and is exact and deterministic."""
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50)
    model.fit(vectors, truth > 0, sample_weight=weights)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _loss(head: Head, examples: Sequence[Example], vectors: NDArray[np.float32]) -> float:
    """Mean log loss on `tune`, or on what is learned from where nothing was set apart for it."""
    rows = [row for row, example in enumerate(examples) if example.split == "tune"]
    rows = rows or [row for row, example in enumerate(examples) if example.split == "train"]
    known = targets([examples[row] for row in rows])
    columns = [LABELS.index(policy) for policy in head.labels]
    signed = (2 * known.truth[:, columns] - 1) * head.logits(vectors[rows])
    weight = known.weight[:, columns]
    return float((np.logaddexp(0, -signed) * weight).sum() / max(float(weight.sum()), 1e-9))


def _label(policy: str, lines: Lines, column: int) -> Label:
    """What was only assumed of a line calibrates nothing: there are tens of thousands of such lines, all easy."""
    chosen = [at for at, each in enumerate(lines.examples) if policy in each.known and policy not in each.assumed]
    general = _platt(lines, policy, column, chosen, Calibration(), PRIOR)
    by_language = {}
    for language in sorted({lines.languages[at] or "" for at in chosen} - {""}):
        own = [at for at in chosen if lines.languages[at] == language]
        sides = {(lines.examples[at].known[policy], lines.examples[at].group) for at in own}
        if min(sum(known == value for known, _ in sides) for value in (True, False)) >= LANGUAGE_GROUPS:
            by_language[language] = _platt(lines, policy, column, own, general, LANGUAGE_PRIOR)
    return Label(policies=(policy,), calibration=general, by_language=by_language)


def _platt(
    lines: Lines, policy: str, column: int, chosen: Sequence[int], around: Calibration, prior: float
) -> Calibration:
    """Slope and intercept with which logits become probabilities, close to `around` where there is little to go by.

    A falling slope would mean a useless head.
    """
    truth = np.array([lines.examples[at].known[policy] for at in chosen], dtype=np.float64)
    scores = np.clip(lines.scores[chosen, column], 1e-6, 1 - 1e-6)
    inputs = np.stack([np.log(scores / (1 - scores)), np.ones(len(chosen))], axis=1)
    start = np.array([around.slope, around.intercept])
    slope, intercept = _newton(inputs, truth, start, prior)
    return Calibration(slope=round(max(float(slope), 0.0), 4), intercept=round(float(intercept), 4))


def _newton(inputs: Floats, truth: Floats, start: Floats, prior: float) -> Floats:
    """Logistic regression on [examples, 2] inputs, Gaussian prior around `start`; steps that overshoot are halved."""

    def loss(at: Floats) -> float:
        signed = (2 * truth - 1) * (inputs @ at)
        return float(np.logaddexp(0, -signed).sum() + prior / 2 * ((at - start) ** 2).sum())

    found = start
    for _ in range(NEWTON_STEPS):
        chances = 1 / (1 + np.exp(-np.clip(inputs @ found, -500, 500)))
        gradient = inputs.T @ (chances - truth) + prior * (found - start)
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + prior * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while loss(found - step) > loss(found) and np.abs(step).max() > 1e-9:
            step = step / 2
        found = found - step
    return found
