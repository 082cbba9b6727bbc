"""What both halves of a head make of data sets whose lines they did not learn from: a figure to compare methods by.

Five times a fifth of each small data set is left out. One layer of the network learns from all the rest, other data
sets included, as the shipped ones do; then the characters learn what it leaves open, from the data set at hand alone.
COLD has a part for judging, which nothing learns from. A logistic regression on the encoder alone stands beside both.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from pipelines.text.training.crossvalidate import FOLDS, LABELS_OF, CrossValidated, figures_of
from pipelines.text.training.datasets import Example
from pipelines.text.training.lines import Floats
from pipelines.text.training.network import learn
from pipelines.text.training.spelled import add, matrix_of, rarity_of
from pipelines.text.training.targets import LABELS, Targets, targets

COLD_LEARNED, COLD_JUDGED, COLD_LABEL = "COLD train", "COLD dev", "cold/offensive"
JUDGED = (*LABELS_OF, COLD_LEARNED, COLD_JUDGED)
LEFT_OUT = (*LABELS_OF, COLD_LEARNED)
"""Data sets of which each fold leaves out its fifth."""
ENCODER, SPELLING = 0.006, 1.0
"""Inverse regularisation strengths for hundreds of lines."""
ENCODER_OF_MANY, SPELLING_OF_MANY = 0.02, 8.0
"""And for tens of thousands."""
NEVER, ALWAYS = -2, -1

Truth = NDArray[np.bool_]
Rows = NDArray[np.int64]


def crossvalidate_head(examples: Sequence[Example], vectors: NDArray[np.float32]) -> tuple[CrossValidated, ...]:
    """Figures of every small data set; `vectors` [examples, dimensions], of a long text the mean of its windows."""
    known = targets(examples)
    sources = np.array([example.source for example in examples], dtype=np.str_)
    folds = _folds_of(examples, known)
    meant = _meant(vectors, known, folds)
    found = []
    for source, prefix in LABELS_OF.items():
        categories = []
        for column, label in enumerate(LABELS):
            rows = np.flatnonzero((sources == source) & (known.weight[:, column] > 0) & (folds >= 0))
            truth = known.truth[rows, column] > 0
            if not label.startswith(prefix) or min(truth.sum(), (~truth).sum()) < FOLDS:
                continue
            texts = [examples[int(row)].text for row in rows]
            both, alone = _left_out(texts, vectors[rows], meant[rows, column], truth, folds[rows])
            categories.append(figures_of(label, truth, both, alone))
        found.append(CrossValidated(source, tuple(categories)))
    return (*found, *_cold(examples, vectors, meant[:, LABELS.index(COLD_LABEL)], sources))


def _folds_of(examples: Sequence[Example], known: Targets) -> NDArray[np.int64]:
    """Of each example the fold that leaves it out, `ALWAYS` learned from, or `NEVER`: what is held out, and views."""
    folds = np.array([ALWAYS if each.split == "train" and not each.written else NEVER for each in examples])
    for source in LEFT_OUT:
        rows = np.array([row for row, each in enumerate(examples) if each.source == source and not each.written])
        if len(rows) < FOLDS:
            continue
        first = np.where(known.truth[rows].any(axis=1), known.truth[rows].argmax(axis=1), -1)
        rare, counts = np.unique(first, return_counts=True)
        first[np.isin(first, rare[counts < FOLDS])] = -1
        for fold, (_, out) in enumerate(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(first, first)):
            folds[rows[out]] = fold
    return folds


def _meant(vectors: NDArray[np.float32], known: Targets, folds: NDArray[np.int64]) -> Floats:
    """Logits [examples, `LABELS`] of networks that did not learn from the line: of all of them where none did."""
    meant = np.zeros((len(vectors), len(LABELS)))
    for fold in range(FOLDS):
        learned = (folds != NEVER) & (folds != fold)
        head = learn(vectors[learned], Targets(known.truth[learned], known.weight[learned]), layers=1).head(LABELS)
        out, never = folds == fold, folds == NEVER
        meant[out] = head.meant(vectors[out])
        meant[never] += head.meant(vectors[never]) / FOLDS
    return meant


def _cold(
    examples: Sequence[Example], vectors: NDArray[np.float32], meant: Floats, sources: NDArray[np.str_]
) -> Sequence[CrossValidated]:
    """Learned from COLD's training part, judged on its dev part; nothing where either is absent."""
    plain = np.array([not each.written for each in examples])
    truth = np.array([each.native.get(COLD_LABEL, False) for each in examples], dtype=np.bool_)
    learned, out = (np.flatnonzero((sources == name) & plain) for name in (COLD_LEARNED, COLD_JUDGED))
    if len(np.unique(truth[learned])) < 2 or len(np.unique(truth[out])) < 2:
        return ()
    texts = [each.text for each in examples]
    both = _judged_on(out, learned, texts, meant, truth, SPELLING_OF_MANY)
    alone = _encoder(vectors[learned], truth[learned], vectors[out], ENCODER_OF_MANY)
    return (CrossValidated(COLD_JUDGED, (figures_of(COLD_LABEL, truth[out], both, alone),)),)


def _left_out(
    texts: Sequence[str], vectors: NDArray[np.float32], meant: Floats, truth: Truth, folds: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    """Logits [texts] of both halves and of the encoder alone, each by heads that did not learn from the text."""
    both, alone = np.zeros((2, len(texts)))
    for fold in range(FOLDS):
        learned, out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if len(out) and len(np.unique(truth[learned])) == 2:
            both[out] = _judged_on(out, learned, texts, meant, truth, SPELLING)
            alone[out] = _encoder(vectors[learned], truth[learned], vectors[out], ENCODER)
    return both, alone


def _judged_on(out: Rows, learned: Rows, texts: Sequence[str], meant: Floats, truth: Truth, strength: float) -> Floats:
    """Logits [out] of both halves; the characters learn from the rows `learned`."""
    rarity = rarity_of([texts[at] for at in learned])
    spelt, left = (matrix_of([texts[at] for at in chosen], rarity) for chosen in (learned, out))
    added = add(spelt, meant[learned], truth[learned], _balanced(truth[learned]), strength)
    return added.logits(left, meant[out].astype(np.float32)).astype(np.float64)


def _encoder(vectors: NDArray[np.float32], truth: Truth, others: NDArray[np.float32], strength: float) -> Floats:
    """Logits [others] of a logistic regression on the embeddings, both kinds of line counting as much as the other."""
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-9
    model = LogisticRegression(C=strength, solver="newton-cholesky", class_weight="balanced", max_iter=50)
    model.fit((vectors - middle) / spread, truth)
    return np.asarray(model.decision_function((others - middle) / spread), dtype=np.float64)


def _balanced(truth: Truth) -> Floats:
    positives = truth.mean()
    return np.asarray(np.where(truth, 0.5 / positives, 0.5 / (1 - positives)), dtype=np.float64)
