"""What both halves of a head learn from one data set alone, on an encoder as it is: a figure to compare methods by.

Each label of a small data set gets a head of its own from four fifths of the lines, as the shipped labels do, and is
judged on the fifth that is left. COLD has a part for judging. The embeddings' half alone is judged beside both.
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
from pipelines.text.training.spelled import add, matrix_of, rarity_of
from pipelines.text.training.targets import LABELS, targets

JUDGED = ("Moderation half", "Surge half", "COLD train", "COLD dev")
MEANING, SPELLING = 0.006, 1.0
"""Inverse regularisation strengths for hundreds of lines."""
MEANING_OF_MANY, SPELLING_OF_MANY = 0.02, 8.0
"""And for tens of thousands."""

Truth = NDArray[np.bool_]
Rows = Sequence[int] | NDArray[np.int64]


def crossvalidate_head(examples: Sequence[Example], vectors: NDArray[np.float32]) -> tuple[CrossValidated, ...]:
    """Figures of every small data set; `vectors` [examples, dimensions], of a long text the mean of its windows.

    Second views are left out.
    """
    found = []
    for source, prefix in LABELS_OF.items():
        rows = [row for row, each in enumerate(examples) if each.source == source and not each.written]
        known = targets([examples[row] for row in rows])
        categories = []
        for column, label in enumerate(LABELS):
            said = np.flatnonzero(known.weight[:, column] > 0)
            truth = known.truth[said, column] > 0
            if not label.startswith(prefix) or min(truth.sum(), (~truth).sum()) < FOLDS:
                continue
            texts = [examples[rows[at]].text for at in said]
            meant, both = _left_out(texts, vectors[rows][said].astype(np.float64), truth)
            categories.append(figures_of(label, truth, both, meant))
        found.append(CrossValidated(source, tuple(categories)))
    return (*found, *_cold(examples, vectors))


def _cold(examples: Sequence[Example], vectors: NDArray[np.float32]) -> Sequence[CrossValidated]:
    """Learned from COLD's training part, judged on its dev part; nothing where either is absent."""
    label = "cold/offensive"
    learned, out = (
        [row for row, each in enumerate(examples) if each.source == name] for name in ("COLD train", "COLD dev")
    )
    truth = np.array([each.native.get(label, False) for each in examples], dtype=np.bool_)
    if not learned or len(np.unique(truth[learned])) < 2 or len(np.unique(truth[out])) < 2:
        return ()
    texts, wide = [each.text for each in examples], vectors.astype(np.float64)
    meant, both = _judged_on(out, learned, texts, wide, truth, MEANING_OF_MANY, SPELLING_OF_MANY)
    return (CrossValidated("COLD dev", (figures_of(label, truth[out], both, meant),)),)


def _left_out(texts: Sequence[str], vectors: Floats, truth: Truth) -> tuple[Floats, Floats]:
    """Logits [texts] of the embeddings alone and of both halves, each by heads that did not learn from the text."""
    meant, both = np.zeros((2, len(texts)))
    for learned, out in _folds(truth):
        meant[out], both[out] = _judged_on(out, learned, texts, vectors, truth, MEANING, SPELLING)
    return meant, both


def _judged_on(
    out: Rows, learned: Rows, texts: Sequence[str], vectors: Floats, truth: Truth, meaning: float, spelling: float
) -> tuple[Floats, Floats]:
    """Logits [out] of the embeddings alone and of both halves, learned from other rows."""
    rarity = rarity_of([texts[at] for at in learned])
    spelt, left = (matrix_of([texts[at] for at in chosen], rarity) for chosen in (learned, out))
    own, known = vectors[learned], truth[learned]
    beside = np.zeros(len(own))
    for part, rest in _folds(known):
        beside[rest] = _meant(own[part], known[part], own[rest], meaning)
    meant = _meant(own, known, vectors[out], meaning)
    added = add(spelt, beside, known, _balanced(known), spelling)
    return meant, added.logits(left, meant.astype(np.float32)).astype(np.float64)


def _folds(truth: Truth) -> Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """What is learned from and what is left out, five times or as often as the rarer kind of line allows."""
    folds = min(FOLDS, int(truth.sum()), int((~truth).sum()))
    return list(StratifiedKFold(folds, shuffle=True, random_state=0).split(truth, truth))


def _meant(vectors: Floats, truth: Truth, others: Floats, strength: float) -> Floats:
    """Logits [others] of a head on the embeddings, both kinds of line counting as much as the other."""
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-9
    model = LogisticRegression(C=strength, solver="newton-cholesky", class_weight="balanced", max_iter=50)
    model.fit((vectors - middle) / spread, truth)
    return np.asarray(model.decision_function((others - middle) / spread), dtype=np.float64)


def _balanced(truth: Truth) -> Floats:
    positives = truth.mean()
    return np.asarray(np.where(truth, 0.5 / positives, 0.5 / (1 - positives)), dtype=np.float64)
