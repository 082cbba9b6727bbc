"""Five-fold cross-validation of the small data sets: what the narrow stage makes of lines it did not learn from.

Each fold starts from the broad adapter, which saw none of these data sets, learns from the other four fifths as the
shipped adapter does, and is judged on its fifth by the data set's own labels. The frozen encoder is judged on the
same folds by a linear probe.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.text.training.adapted import AdaptedVectors
from pipelines.text.training.corpus import Corpus
from pipelines.text.training.probe import fitted
from pipelines.text.training.stages import NARROW, SMALL, Bench
from pipelines.text.training.targets import LABELS
from pipelines.text.training.tuning import Stage

FOLDS = 5
LABELS_OF = {"Moderation half": "moderation/", "Surge half": "surge/"}
"""Data set -> how the labels begin that it is judged by."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CategoryFigures:
    """One native label over all folds together; the frozen encoder's figures beside."""

    label: str
    examples: int
    positives: int
    average_precision: float
    auroc: float
    frozen_average_precision: float
    frozen_auroc: float
    accuracy: float = math.nan
    frozen_accuracy: float = math.nan


@dataclass(frozen=True)
class CrossValidated:
    """One data set, judged on every line once."""

    source: str
    categories: tuple[CategoryFigures, ...]

    @property
    def mean_average_precision(self) -> float:
        return float(np.mean([each.average_precision for each in self.categories]))

    @property
    def mean_auroc(self) -> float:
        return float(np.mean([each.auroc for each in self.categories]))

    @property
    def frozen_mean_average_precision(self) -> float:
        return float(np.mean([each.frozen_average_precision for each in self.categories]))


def crossvalidate(bench: Bench, broad: Path, stage: Stage = NARROW) -> tuple[CrossValidated, ...]:
    """Both small data sets at once: a fold leaves out a fifth of each. A run that was interrupted goes on."""
    corpus = bench.shop.corpus
    rows = [row for row, example in enumerate(corpus.examples) if example.source in SMALL and not example.written]
    folds = np.full(len(corpus.examples), -1)
    for source in SMALL:
        own = [row for row in rows if corpus.examples[row].source == source]
        folds[own] = folds_of(corpus, own)
    bench.prepare([corpus.windows[row] for row in rows])
    frozen, adapted = np.zeros((2, len(corpus.examples), len(LABELS)))
    bench.reset(None)
    units = _units(AdaptedVectors(bench.adapted, bench.store).embed_windows([corpus.windows[row] for row in rows]))
    for fold in range(FOLDS):
        out = [row for row in rows if folds[row] == fold]
        frozen[out] = _probed(corpus, rows, units, folds[rows] == fold)
        bench.shop.progress(f"fold {fold + 1} of {FOLDS}: {len(out)} lines left out")
        bench.narrow(broad, _without(corpus, folds, fold), stage)
        bench.adapted.eval()
        vectors = AdaptedVectors(bench.adapted, bench.store).embed_windows([corpus.windows[row] for row in out])
        with torch.inference_mode():
            adapted[out] = bench.adapted.logits(torch.from_numpy(vectors)).numpy()
    return tuple(_judged(source, corpus, rows, adapted, frozen) for source in SMALL)


def folds_of(corpus: Corpus, rows: Sequence[int]) -> NDArray[np.int64]:
    """A fold for each row: by digest, the examples of rare labels spread evenly."""
    counts = corpus.truth[rows].sum(axis=0)
    rarest = np.argsort(counts, kind="stable")
    kinds = [next((rank for rank, column in enumerate(rarest) if corpus.truth[row, column] > 0), -1) for row in rows]
    order = sorted(
        range(len(rows)), key=lambda at: (kinds[at], hashlib.sha256(corpus.examples[rows[at]].text.encode()).digest())
    )
    folds = np.zeros(len(rows), dtype=np.int64)
    folds[order] = np.arange(len(rows)) % FOLDS
    return folds


def _without(corpus: Corpus, folds: NDArray[np.int64], fold: int) -> Corpus:
    """Everything of the small data sets is learned from, but for one fold; the others are split as ever."""
    examples = [
        replace(example, split="held-out" if folds[row] == fold else "train") if folds[row] >= 0 else example
        for row, example in enumerate(corpus.examples)
    ]
    kept = [
        replace(example, split="held-out") if example.source in SMALL and folds[row] < 0 else example
        for row, example in enumerate(examples)
    ]
    return replace(corpus, examples=tuple(kept))


def _units(vectors: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy((vectors - vectors.mean(axis=0)) / (vectors.std(axis=0) + 1e-6))


def _probed(corpus: Corpus, rows: Sequence[int], units: torch.Tensor, out: NDArray[np.bool_]) -> Floats:
    """Logits of the rows that are left out, by a probe on the others."""
    own = np.asarray(rows)[~out]
    weight, bias = fitted(units[~out], torch.from_numpy(corpus.truth[own]), torch.from_numpy(corpus.weight[own]))
    return np.asarray((units[out] @ weight.T + bias).numpy(), dtype=np.float64)


def _judged(source: str, corpus: Corpus, rows: Sequence[int], adapted: Floats, frozen: Floats) -> CrossValidated:
    found = []
    for column, label in enumerate(LABELS):
        if not label.startswith(LABELS_OF[source]):
            continue
        known = [row for row in rows if corpus.examples[row].source == source and corpus.weight[row, column] > 0]
        truth = corpus.truth[known, column] > 0
        found.append(figures_of(label, truth, adapted[known, column], frozen[known, column]))
    return CrossValidated(source, tuple(found))


def figures_of(label: str, truth: NDArray[np.bool_], found: Floats, frozen: Floats) -> CategoryFigures:
    """One native label by the logits [lines] of lines that were left out."""
    return CategoryFigures(
        label=label.partition("/")[2],
        examples=len(truth),
        positives=int(truth.sum()),
        average_precision=float(average_precision_score(truth, found)),
        auroc=float(roc_auc_score(truth, found)),
        frozen_average_precision=float(average_precision_score(truth, frozen)),
        frozen_auroc=float(roc_auc_score(truth, frozen)),
        accuracy=float(((found > 0) == truth).mean()),
        frozen_accuracy=float(((frozen > 0) == truth).mean()),
    )
