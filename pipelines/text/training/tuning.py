"""Tunes adapter and heads together: masked cross-entropy over all labels, a running average of the weights, early stop.

A stage takes its share of each source an epoch. Every draw is seeded by run, epoch and step, so that a run that was
killed and goes on from its snapshot ends in the same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn import functional

from pipelines.text.training.adapted import Adapted
from pipelines.text.training.batches import batches, rows_of_epoch
from pipelines.text.training.corpus import Corpus
from pipelines.text.training.progress import Progress, Rate
from pipelines.text.training.snapshots import BEST, SNAPSHOT, Position, read_snapshot, save_snapshot
from pipelines.text.training.states import StateStore

SNAPSHOT_STEPS = 150
AVERAGE = 0.99
"""Of the running average of the weights, which is what is kept: single steps are noisy on so few examples."""
WARM_UP = 0.06
CLIP = 1.0
MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Stage:
    """`shares`: of each source, how much an epoch sees; sources without a share are left out.

    `patience` epochs without a smaller loss on `tune` end it; 0 never does, and keeps the last weights.
    """

    name: str
    shares: Mapping[str, float]
    epochs: int
    rate: float = 5e-4
    head_rate: float = 2e-3
    tokens: int = 2048
    token_dropout: float = 0.1
    smoothing: float = 0.02
    decay: float = 0.01
    patience: int = 2
    seed: int = 0

    @property
    def sources(self) -> frozenset[str]:
        return frozenset(self.shares)


class Tuning:
    """One stage of one model. `folder` keeps its snapshots and belongs to this stage, corpus and beginning."""

    def __init__(
        self, adapted: Adapted, corpus: Corpus, store: StateStore, stage: Stage, folder: Path, progress: Progress
    ) -> None:
        self._adapted, self._corpus, self._store = adapted, corpus, store
        self._stage, self._folder, self._progress = stage, folder, progress
        members = corpus.members("train")
        epochs = [rows_of_epoch(members, stage.shares, epoch, stage.seed) for epoch in range(stage.epochs)]
        self._batches = [
            batches(rows, corpus.lengths, stage.tokens, (stage.seed, epoch)) for epoch, rows in enumerate(epochs)
        ]
        self._rows_per_weight = len(epochs[0]) / max(float(corpus.weight[epochs[0]].sum()), 1e-9)
        self._learned = dict(adapted.learned())
        heads = [parameter for name, parameter in self._learned.items() if name.startswith("head.")]
        others = [parameter for name, parameter in self._learned.items() if not name.startswith("head.")]
        groups = [{"params": others, "base": stage.rate}, {"params": heads, "base": stage.head_rate}]
        self._optimiser = torch.optim.AdamW(groups, lr=stage.rate, weight_decay=stage.decay)
        self._average = {name: parameter.detach().clone() for name, parameter in self._learned.items()}
        self._at = Position()

    def run(self) -> Position:
        """Trains to the end, from the snapshot if there is one; leaves the best average weights in the model."""
        self._resume()
        total = sum(self._tokens(batch) for epoch in self._batches for batch in epoch)
        done = sum(self._tokens(batch) for batch in self._batches_before())
        rate = Rate(self._stage.name, total, "tokens", self._progress, done=done)
        while not self._at.finished:
            self._epoch(rate)
            self._end_epoch()
        best = read_snapshot(self._folder / BEST)
        if best is not None:
            self._adapted.restore(best[0]["weights"])
        return self._at

    def loss(self, rows: Sequence[int]) -> float:
        """Mean masked loss of these rows under the weights as they are, without smoothing or dropout."""
        self._adapted.eval()
        total = weight = 0.0
        with torch.inference_mode():
            for batch in batches(rows, self._corpus.lengths, self._stage.tokens, (0,)):
                states, mask = self._store.batch([self._corpus.windows[row] for row in batch])
                total += float(self._cross_entropy(self._adapted(states, mask), batch, 0.0))
                weight += float(self._corpus.weight[batch].sum())
        return total / max(weight, 1e-9)

    def _epoch(self, rate: Rate) -> None:
        self._adapted.train()
        epoch = self._batches[self._at.epoch]
        recent = 0.0
        for batch in epoch[self._at.step :]:
            loss = self._step(batch)
            recent = 0.95 * recent + 0.05 * loss if recent else loss
            self._at.step += 1
            self._at.steps += 1
            rate.add(self._tokens(batch), f"epoch {self._at.epoch + 1} of {self._stage.epochs}, loss {recent:.4f}")
            if self._at.step % SNAPSHOT_STEPS == 0:
                self._save()

    def _step(self, batch: Sequence[int]) -> float:
        stage = self._stage
        torch.manual_seed(stage.seed * 1_000_003 + self._at.steps)
        states, mask = self._store.batch([self._corpus.windows[row] for row in batch])
        mask = thinned(mask, stage.token_dropout)
        summed = self._cross_entropy(self._adapted(states, mask), batch, stage.smoothing)
        loss = summed * (self._rows_per_weight / len(batch))
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types here
        torch.nn.utils.clip_grad_norm_(self._learned.values(), CLIP)
        factor = self._factor()
        for group in self._optimiser.param_groups:
            group["lr"] = group["base"] * factor
        self._optimiser.step()
        keep = min(AVERAGE, (1 + self._at.steps) / (10 + self._at.steps))
        with torch.no_grad():
            for name, parameter in self._learned.items():
                self._average[name].lerp_(parameter, 1 - keep)
        return float(loss.detach())

    def _cross_entropy(self, logits: torch.Tensor, batch: Sequence[int], smoothing: float) -> torch.Tensor:
        """Summed over the batch, each cell by its weight."""
        truth = torch.from_numpy(self._corpus.truth[batch]) * (1 - 2 * smoothing) + smoothing
        weight = torch.from_numpy(self._corpus.weight[batch])
        return functional.binary_cross_entropy_with_logits(logits, truth, weight=weight, reduction="sum")

    def _factor(self) -> float:
        """Rises over the first steps, then falls to nothing along a cosine."""
        total = sum(map(len, self._batches))
        warm = max(total * WARM_UP, 1)
        if self._at.steps < warm:
            return (self._at.steps + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (self._at.steps - warm) / max(total - warm, 1)))

    def _end_epoch(self) -> None:
        now = {name: parameter.detach().clone() for name, parameter in self._adapted.kept().items()}
        self._adapted.restore({**now, **self._average})
        loss = self.loss(self._corpus.rows("tune", self._stage.sources)) if self._stage.patience else math.nan
        self._at.losses.append(loss)
        best = self._at.best == self._at.epoch or not self._stage.patience
        if best:
            save_snapshot(self._folder / BEST, {"weights": self._adapted.kept()}, self._at)
        self._adapted.restore(now)
        if self._stage.patience:
            said = f"loss on tune {loss:.4f}{', best' if best else ''}"
            self._progress(f"{self._stage.name}: epoch {self._at.epoch + 1} done, {said}")
        self._at.epoch, self._at.step = self._at.epoch + 1, 0
        stale = self._at.epoch - 1 - (self._at.best or 0)
        self._at.finished = self._at.epoch == self._stage.epochs or bool(
            self._stage.patience and stale >= self._stage.patience
        )
        self._save()

    def _save(self) -> None:
        groups: dict[str, Mapping[str, torch.Tensor]] = {"weights": self._adapted.kept(), "average": self._average}
        for moment in MOMENTS:
            groups[moment] = {
                name: self._optimiser.state[parameter][moment]
                for name, parameter in self._learned.items()
                if parameter in self._optimiser.state
            }
        save_snapshot(self._folder / SNAPSHOT, groups, self._at)

    def _resume(self) -> None:
        found = read_snapshot(self._folder / SNAPSHOT)
        if found is None:
            return
        groups, self._at = found
        self._adapted.restore(groups["weights"])
        self._average = groups["average"]
        for name, parameter in self._learned.items():
            if name in groups.get(MOMENTS[0], {}):
                moments = {moment: groups[moment][name] for moment in MOMENTS}
                self._optimiser.state[parameter] = {"step": torch.tensor(float(self._at.steps)), **moments}
        if not self._at.finished:
            self._progress(f"{self._stage.name}: goes on in epoch {self._at.epoch + 1} at step {self._at.step}")

    def _batches_before(self) -> list[list[int]]:
        whole = [batch for epoch in self._batches[: self._at.epoch] for batch in epoch]
        return whole if self._at.finished else [*whole, *self._batches[self._at.epoch][: self._at.step]]

    def _tokens(self, batch: Sequence[int]) -> int:
        return sum(self._corpus.lengths[row] for row in batch)


def thinned(mask: torch.Tensor, share: float) -> torch.Tensor:
    """The mask without that share of its tokens, drawn at random; the first token of each text stays."""
    kept = (torch.rand_like(mask) >= share).to(mask.dtype)
    kept[:, 0] = 1
    return mask * kept


def fingerprint(stage: Stage, corpus: Corpus, beginning: str) -> str:
    """Names the folder of a stage: changes with its settings, with what it learns from and with where it begins."""
    said = json.dumps([asdict(stage), corpus.digest(stage.sources), beginning], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]
