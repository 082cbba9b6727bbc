"""How good a fitted head is on examples it never saw: figures per policy, per language, and on COLD."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.policies import POLICY_IDS
from pipelines.text.training.datasets import Example
from pipelines.text.training.fit import Fitted

FLAGGED = 0.5
"""The probability from which a line counts as flagged in these figures; the pool's thresholds are configuration."""
BINS = 10

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """`hits` of `of`, with the Wilson interval at 95 %."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        return self.hits / self.of if self.of else math.nan

    def __str__(self) -> str:
        if not self.of:
            return "-"
        low, high = self.interval
        return f"{self.value:.2f} ({low:.2f}-{high:.2f})"

    @property
    def interval(self) -> tuple[float, float]:
        z, n, p = 1.96, self.of, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class PolicyFigures:
    """One policy over the examples that say something about it. `calibration_error` is ECE over ten bins."""

    policy: str
    examples: int
    positives: int
    average_precision: float
    auroc: float
    precision: Share
    recall: Share
    calibration_error: float


@dataclass(frozen=True)
class LanguageFigures:
    """Lines about a policy that were flagged under it, and ordinary lines flagged under any."""

    source: str
    language: str
    recall: Share
    false_alarms: Share


@dataclass(frozen=True)
class Evaluation:
    policies: tuple[PolicyFigures, ...]
    languages: tuple[LanguageFigures, ...]
    cold_accuracy: Share


def probabilities(fitted: Fitted, vectors: NDArray[np.float32]) -> Mapping[str, Floats]:
    """Calibrated probability of every vector, by policy, exactly as the pool computes it from card and head."""
    logits = fitted.head.logits(vectors).astype(np.float64)
    scores = 1 / (1 + np.exp(-logits))
    return {
        label: np.array([fitted.calibrations[label](float(score)) for score in scores[:, column]])
        for column, label in enumerate(fitted.head.labels)
    }


def evaluate(fitted: Fitted, examples: Sequence[Example], vectors: NDArray[np.float32]) -> Evaluation:
    """Figures over the held-out examples among those given."""
    chosen = [at for at, example in enumerate(examples) if example.split == "held-out"]
    kept = [examples[at] for at in chosen]
    found = probabilities(fitted, vectors[chosen])
    return Evaluation(
        policies=tuple(_policy(policy, kept, found[policy]) for policy in POLICY_IDS),
        languages=_languages(kept, found),
        cold_accuracy=_accuracy(kept, found["hate"]),
    )


def _policy(policy: str, examples: Sequence[Example], found: Floats) -> PolicyFigures:
    known = [at for at, example in enumerate(examples) if policy in example.known]
    truth = np.array([examples[at].known[policy] for at in known], dtype=np.bool_)
    values = found[known]
    flagged = values >= FLAGGED
    both = int((truth & flagged).sum())
    ranked = bool(truth.any() and not truth.all())
    return PolicyFigures(
        policy=policy,
        examples=len(known),
        positives=int(truth.sum()),
        average_precision=float(average_precision_score(truth, values)) if ranked else math.nan,
        auroc=float(roc_auc_score(truth, values)) if ranked else math.nan,
        precision=Share(both, int(flagged.sum())),
        recall=Share(both, int(truth.sum())),
        calibration_error=_calibration_error(truth, values),
    )


def _calibration_error(truth: NDArray[np.bool_], values: Floats) -> float:
    """Expected calibration error: distance of said and seen frequency, averaged over ten equal bins."""
    bins = np.minimum((values * BINS).astype(int), BINS - 1)
    gaps = [abs(float((values[bins == at] - truth[bins == at]).sum())) for at in range(BINS)]
    return sum(gaps) / max(len(values), 1)


def _languages(examples: Sequence[Example], found: Mapping[str, Floats]) -> tuple[LanguageFigures, ...]:
    """Only lines whose every policy is meant: phrases and hand-written ones."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, example in enumerate(examples):
        if example.source in ("phrases", "held-out lines"):
            groups.setdefault((example.source, example.language), []).append(at)
    return tuple(_language(*group, members, examples, found) for group, members in sorted(groups.items()))


def _language(
    source: str, language: str, members: Sequence[int], examples: Sequence[Example], found: Mapping[str, Floats]
) -> LanguageFigures:
    risky = [(at, policy) for at in members for policy, known in examples[at].known.items() if known]
    benign = [at for at in members if not any(examples[at].known.values())]
    caught = sum(bool(found[policy][at] >= FLAGGED) for at, policy in risky)
    alarms = sum(any(found[policy][at] >= FLAGGED for policy in found) for at in benign)
    return LanguageFigures(source, language, Share(caught, len(risky)), Share(alarms, len(benign)))


def _accuracy(examples: Sequence[Example], hate: Floats) -> Share:
    """Share of COLD dev told right by the hate label alone."""
    cold = [at for at, example in enumerate(examples) if example.source == "COLD dev"]
    right = sum(bool(hate[at] >= FLAGGED) == examples[at].known["hate"] for at in cold)
    return Share(right, len(cold))
