"""The layers that read meaning are averaged, and their average is one hidden layer."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.text.training.network import UNITS, learn
from pipelines.text.training.targets import LABELS, Targets

LINES, DIMENSIONS = 240, 8
VECTORS = np.random.default_rng(1).normal(size=(LINES, DIMENSIONS)).astype(np.float32)


@pytest.fixture(scope="module")
def known() -> Targets:
    """Each label is about one direction of the space."""
    truth = np.stack([VECTORS[:, at % DIMENSIONS] > 0 for at in range(len(LABELS))], axis=1)
    return Targets(truth.astype(np.float32), np.ones_like(truth, dtype=np.float32))


def test_what_is_learned_once_and_again_is_the_same(known: Targets) -> None:
    first, again = (learn(VECTORS, known, layers=2).head(LABELS).meant(VECTORS) for _ in range(2))
    assert np.array_equal(first, again)


def test_layers_differ_and_their_logits_are_averaged(known: Targets) -> None:
    one, both = (learn(VECTORS, known, layers=layers) for layers in (1, 2))
    assert both.hidden.weight.shape == (2 * UNITS, DIMENSIONS)
    assert np.array_equal(both.hidden.weight[:UNITS], one.hidden.weight)
    assert not np.array_equal(both.hidden.weight[UNITS:], one.hidden.weight)
    apart = 2 * both.head(LABELS).meant(VECTORS) - one.head(LABELS).meant(VECTORS)
    assert ((apart > 0) == (known.truth > 0)).mean() > 0.95


def test_the_average_knows_what_each_label_is_about(known: Targets) -> None:
    said = learn(VECTORS, known, layers=2).head(LABELS).meant(VECTORS)
    assert ((said > 0) == (known.truth > 0)).mean() > 0.95
