"""A linear reading of vectors, fitted in seconds: where the heads begin, and what a frozen encoder knows by itself.

Heads that begin at a fitted probe leave the encoder less to unlearn than random ones: Kumar et al. 2022
(arXiv:2202.10054), section 3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from pipelines.text.training.adapted import Adapted, AdaptedVectors
from pipelines.text.training.corpus import Corpus
from pipelines.text.training.states import StateStore

SAMPLE = 3000
"""Examples that the beginning is fitted on: some seconds of embedding."""
STEPS = 60
PENALTY = 2e-2


def begin(adapted: Adapted, corpus: Corpus, store: StateStore, rows: Sequence[int]) -> None:
    """Sets the scale and every head that is still nothing, from a sample of these rows.

    A head without examples among them stays nothing; heads that were fitted before stay as they are.
    """
    fresh = [column for column in range(len(adapted.head.bias)) if not bool(adapted.head.weight[column].any())]
    sample = _sample(corpus, rows, fresh)
    vectors = AdaptedVectors(adapted, store).embed_windows([corpus.windows[row] for row in sample])
    if not bool(adapted.middle.any()):
        adapted.scale(vectors)
    units = (torch.from_numpy(vectors) - adapted.middle) / adapted.spread
    truth = torch.from_numpy(corpus.truth[sample][:, fresh])
    weight = torch.from_numpy(corpus.weight[sample][:, fresh])
    found, bias = fitted(units, truth, weight)
    known = weight.sum(0) > 0
    with torch.no_grad():
        for at, column in enumerate(fresh):
            if bool(known[at]):
                adapted.head.weight[column] = found[at]
                adapted.head.bias[column] = bias[at]


def fitted(
    vectors: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor, penalty: float = PENALTY
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight [labels, dimensions] and bias [labels] of one logistic regression per column of `truth`.

    `penalty` is on the squared weights, against the mean loss of a label's examples.
    """
    labels = truth.shape[1]
    matrix = torch.zeros(labels, vectors.shape[1], requires_grad=True)
    bias = torch.zeros(labels, requires_grad=True)
    share = weight / weight.sum(0).clamp(min=1e-9)
    optimiser = torch.optim.LBFGS([matrix, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = vectors @ matrix.T + bias
        found = functional.binary_cross_entropy_with_logits(logits, truth, weight=share, reduction="sum")
        total = found + penalty * matrix.square().sum()
        total.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call, arg-type, unused-ignore]  # nor here
    return matrix.detach(), bias.detach()


def _sample(corpus: Corpus, rows: Sequence[int], columns: Sequence[int]) -> list[int]:
    """Every row that says something about a rarely known label among the columns, and an even share of the others."""
    known = corpus.weight[list(rows)][:, list(columns)] > 0
    counts = known.sum(axis=0)
    rare = set(np.nonzero(known[:, counts < SAMPLE])[0].tolist())
    step = max(len(rows) // SAMPLE, 1)
    return [row for at, row in enumerate(rows) if at in rare or at % step == 0]
