"""The risk head: per policy one logistic regression on vectors, one on characters beside it, and Platt scaling.

The scaling is fitted on examples that neither learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.cards import Calibration, Label
from pipelines.policies import POLICY_IDS
from pipelines.text.embedding_head import Head
from pipelines.text.spelling import Spelling
from pipelines.text.training.datasets import Example, Split
from pipelines.text.training.lines import Floats, Lines, lines_of
from pipelines.text.training.spelled import add, folds_of, matrix_of, rarity_of
from pipelines.text.training.targets import ASSUMED_WEIGHT, LABELS, Targets, targets

STRENGTHS = (0.005, 0.02)
SPELLING_STRENGTHS = (2.0, 8.0, 32.0)
"""Inverse regularisation strengths tried. The loss on `tune` chooses: one for all policies, and one for each."""
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
    """A head, and what the card says of each of its labels."""

    head: Head
    labels: Mapping[str, Label]


def fit(examples: Sequence[Example], vectors: NDArray[np.float32], *, spelling: bool = True) -> Fitted:
    """The head for all policies, with its half about spelling or without.

    Deterministic: the same examples and vectors give the same numbers.
    """
    meaning, whole = _heads(examples, vectors, spelling=spelling)
    return _calibrated(whole or meaning, examples, vectors)


def fit_both(examples: Sequence[Example], vectors: NDArray[np.float32]) -> tuple[Fitted, Fitted]:
    """The head without its half about spelling, and the whole one."""
    meaning, whole = _heads(examples, vectors, spelling=True)
    return _calibrated(meaning, examples, vectors), _calibrated(whole or meaning, examples, vectors)


def _calibrated(head: Head, examples: Sequence[Example], vectors: NDArray[np.float32]) -> Fitted:
    lines = lines_of(head, examples, vectors, "calibrate")
    return Fitted(head, {policy: _label(policy, lines, column) for column, policy in enumerate(head.labels)})


def _require(policy: str, examples: Sequence[Example], split: Split) -> None:
    said = {(each.known[policy], each.group) for each in examples if each.split == split and policy in each.known}
    for value in (True, False):
        if sum(known == value for known, _ in said) < FEWEST_GROUPS:
            kind = "positive" if value else "negative"
            raise FitError(f"{policy}: too few {kind} examples to {split} on; add phrases or data")


@dataclass(frozen=True)
class _Learned:
    """What the examples of one split say: `known` by label, in the order of `LABELS`."""

    texts: Sequence[str]
    sources: NDArray[np.str_]
    vectors: Floats
    known: Targets
    folds: NDArray[np.int64]

    def said(self, policy: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Floats]:
        """The rows [examples] that say something about the policy; of these the truth, and the weights."""
        column = LABELS.index(policy)
        rows = self.known.weight[:, column] > 0
        return rows, self.known.truth[rows, column] > 0, self.known.weight[rows, column].astype(np.float64)

    def has_both_sides(self, among: NDArray[np.bool_]) -> bool:
        """Whether some of these lines are about each policy, and some are not."""
        sides = [
            (truth[among[rows]].any(), not truth[among[rows]].all()) for rows, truth, _ in map(self.said, POLICY_IDS)
        ]
        return all(some and others for some, others in sides)


def _learned(examples: Sequence[Example], vectors: NDArray[np.float32], split: Split) -> _Learned:
    rows = [row for row, example in enumerate(examples) if example.split == split]
    chosen = [examples[row] for row in rows]
    folds = folds_of([example.group for example in chosen])
    texts, sources = [each.text for each in chosen], np.array([each.source for each in chosen], dtype=np.str_)
    return _Learned(texts, sources, vectors[rows].astype(np.float64), targets(chosen), folds)


def _heads(examples: Sequence[Example], vectors: NDArray[np.float32], *, spelling: bool) -> tuple[Head, Head | None]:
    """The half about meaning, and the whole head where that is wanted.

    Each half at the strength with the least loss on `tune`, or on what is learned from where that is empty.
    """
    for policy in POLICY_IDS:
        for split in ("train", "calibrate"):
            _require(policy, examples, split)
    train, tune = _learned(examples, vectors, "train"), _learned(examples, vectors, "tune")
    tune = tune if tune.texts else train
    heads = {strength: _meaning(train, strength, np.ones(len(train.texts), dtype=np.bool_)) for strength in STRENGTHS}
    strength = min(heads, key=lambda at: _loss(heads[at], tune))
    head = heads[strength]
    return head, _with_spelling(head, strength, train, tune) if spelling else None


def _meaning(train: _Learned, strength: float, learned: NDArray[np.bool_]) -> Head:
    """The half about embeddings, from the rows `learned`; its weights take vectors as they are."""
    wide = train.vectors[learned]
    middle, spread = wide.mean(axis=0), wide.std(axis=0) + 1e-9  # E5 vectors all lie in one narrow cone
    units = (train.vectors - middle) / spread
    weights, biases = [], []
    for policy in POLICY_IDS:
        rows, truth, weight = train.said(policy)
        mine = learned[rows]
        found, bias = _regress(units[rows][mine], truth[mine], weight[mine], strength)
        weights.append(found / spread)
        biases.append(bias - float(found @ (middle / spread)))
    return Head(POLICY_IDS, np.array(weights, dtype=np.float32), np.array(biases, dtype=np.float32))


def _with_spelling(head: Head, strength: float, train: _Learned, tune: _Learned) -> Head:
    """The head with its other half, which learns beside logits of a head that did not learn from the same lines."""
    beside = head.meant(train.vectors.astype(np.float32)).astype(np.float64)
    for fold in np.unique(train.folds):
        out = train.folds == fold
        if train.has_both_sides(~out):
            beside[out] = _meaning(train, strength, ~out).meant(train.vectors[out].astype(np.float32))
    rarity = rarity_of(train.texts)
    spelt, judged = matrix_of(train.texts, rarity), matrix_of(tune.texts, rarity)
    meant = head.meant(tune.vectors.astype(np.float32))
    added = []
    for at, policy in enumerate(POLICY_IDS):
        rows, truth, weight = train.said(policy)
        tried = [add(spelt[rows], beside[rows, at], truth, weight, strength) for strength in SPELLING_STRENGTHS]
        added.append(min(tried, key=lambda one: _policy_loss(one.logits(judged, meant[:, at]), tune, policy)))
    factors = np.array([each.factor for each in added], dtype=np.float32)
    return Head(
        POLICY_IDS,
        head.weight * factors[:, None],
        head.bias * factors + np.array([each.bias for each in added], dtype=np.float32),
        Spelling(rarity, np.stack([each.weight for each in added], axis=1)),
    )


def _regress(
    vectors: Floats, truth: NDArray[np.bool_], weights: NDArray[np.float64], strength: float
) -> tuple[Floats, float]:
    """Weight and bias; the solver suits many more examples than dimensions, and is exact and deterministic."""
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=50)
    model.fit(vectors, truth, sample_weight=weights)
    return model.coef_[0].astype(np.float64), float(model.intercept_[0])


def _loss(head: Head, tune: _Learned) -> float:
    """Mean log loss over all policies that are known of a line, of a head without spelling."""
    logits = head.meant(tune.vectors.astype(np.float32))
    return float(np.mean([_policy_loss(logits[:, at], tune, policy) for at, policy in enumerate(head.labels)]))


def _policy_loss(logits: NDArray[np.float32], tune: _Learned, policy: str) -> float:
    """Mean log loss of one policy, every source counting the same; 0 where no line was judged for it.

    What is only assumed of a line is left out: there are tens of thousands of such lines, all easy.
    """
    rows, truth, weight = tune.said(policy)
    judged = weight > ASSUMED_WEIGHT
    lost = np.logaddexp(0, np.where(truth, -logits[rows], logits[rows]))[judged]
    sources = tune.sources[rows][judged]
    means = [lost[sources == each].mean() for each in np.unique(sources)]
    return float(np.mean(means)) if means else 0.0


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
