"""The half of the head that reads meaning: one hidden layer under all labels, learned from all of them at once.

A straight line through a sentence encoder's space does not tell a threat from the same words in a game; a layer of
rectified units does so much better, and what one label teaches it serves the others, those included that are never
shipped. Half of the units are left out of every step (Srivastava et al. 2014), as the lines that it learns from are
far more alike than those it will read. Several such layers that differ in their seed alone are averaged: where there
was nothing to learn from, each guesses in its own way (Lakshminarayanan et al. 2017), and a sure guess of one is none
of all. Averaged logits are one hidden layer with all their units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.text.embedding_head import Head, Hidden
from pipelines.text.training.targets import LABELS, Targets

UNITS = 512
"""Of one layer."""
LAYERS = 4
"""Averaged."""
LEFT_OUT, LEFT_OUT_OF_VECTOR = 0.5, 0.25
DECAY = 0.1
RATE = 2e-3
PASSES = 24
BATCH = 512
FEWEST_STEPS = 20
"""In a pass: few lines make small batches."""


@dataclass(frozen=True)
class Network:
    """Weights of both layers, for vectors as they are; `weight` [`LABELS`, units], `bias` [`LABELS`]."""

    hidden: Hidden
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def head(self, labels: Sequence[str]) -> Head:
        """The head of these labels alone."""
        columns = [LABELS.index(label) for label in labels]
        return Head(tuple(labels), self.weight[columns], self.bias[columns], hidden=self.hidden)


def learn(vectors: NDArray[np.float32], known: Targets, *, layers: int = LAYERS) -> Network:
    """Learned from `vectors` [lines, dimensions] and what is known of each line: 90,000 take half a minute a layer.

    Deterministic for one number of threads.
    """
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-9  # E5 vectors all lie in one narrow cone
    units = torch.from_numpy(((vectors - middle) / spread).astype(np.float32))
    truth, weight = torch.from_numpy(known.truth), torch.from_numpy(known.weight)
    with torch.random.fork_rng(devices=[]):
        found = [_trained(units, truth, weight, seed) for seed in range(layers)]
    below = np.concatenate([each.weight.detach().numpy() for each, _ in found]) / spread
    bias = np.concatenate([each.bias.detach().numpy() for each, _ in found]) - below @ middle
    above = np.concatenate([each.weight.detach().numpy() for _, each in found], axis=1) / layers
    said = np.mean([each.bias.detach().numpy() for _, each in found], axis=0)
    hidden = Hidden(below.astype(np.float32), bias.astype(np.float32))
    return Network(hidden, above.astype(np.float32), said.astype(np.float32))


def _trained(
    units: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor, seed: int
) -> tuple[torch.nn.Linear, torch.nn.Linear]:
    lines, dimensions = units.shape
    torch.manual_seed(seed)
    below, above = torch.nn.Linear(dimensions, UNITS), torch.nn.Linear(UNITS, truth.shape[1])
    dropouts = torch.nn.Dropout(LEFT_OUT_OF_VECTOR), torch.nn.Dropout(LEFT_OUT)
    layers = torch.nn.Sequential(dropouts[0], below, torch.nn.ReLU(), dropouts[1], above)
    batch = max(1, min(BATCH, lines // FEWEST_STEPS))
    steps = PASSES * -(-lines // batch)
    optimiser = torch.optim.AdamW(layers.parameters(), lr=RATE, weight_decay=DECAY, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    order = torch.Generator().manual_seed(seed)
    for _ in range(PASSES):
        for rows in torch.split(torch.randperm(lines, generator=order), batch):
            said = torch.nn.functional.binary_cross_entropy_with_logits(
                layers(units[rows]), truth[rows], weight=weight[rows], reduction="sum"
            )
            optimiser.zero_grad()
            (said / len(rows)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    return below, above
