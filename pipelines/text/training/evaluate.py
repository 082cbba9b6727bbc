"""How good a fitted head is on examples it never saw: figures per policy, per language, on COLD and on pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from pipelines.comparison.rates import tenths, wilson
from pipelines.policies import POLICY_IDS
from pipelines.text.training.datasets import CHAT, HELD_OUT_LINES, PAIRS, PHRASES, Example
from pipelines.text.training.fit import Fitted
from pipelines.text.training.lines import Floats, Lines, lines_of

FLAGGED = 0.5
"""The probability from which a line counts as flagged in these figures; the pool's thresholds are configuration."""
FALSE_ALARMS = 0.01
"""At this share of lines flagged that are not about a policy, its recall is given too: it needs no calibration."""
APART = frozenset({CHAT, PAIRS})
"""Written by somebody else than the phrases: judged by themselves, and part of no other figure."""


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
        return wilson(self.hits, self.of) if self.of else (math.nan, math.nan)


@dataclass(frozen=True)
class Bin:
    """Lines whose probability lies in one tenth: how many, what was said on average, how often it was so."""

    lines: int
    said: float
    seen: float


@dataclass(frozen=True, eq=False)
class Judged:
    """The lines that somebody judged for one policy: `truth` and `probabilities` [lines], and their languages.

    A language is what the pool would take the line for; None: it cannot tell.
    """

    truth: NDArray[np.bool_]
    probabilities: Floats
    languages: tuple[str | None, ...]

    def only(self, language: str) -> Judged:
        """Those of one language."""
        own = np.array([each == language for each in self.languages], dtype=np.bool_)
        return Judged(self.truth[own], self.probabilities[own], (language,) * int(own.sum()))


@dataclass(frozen=True)
class PolicyFigures:
    """One policy over the examples that were judged for it; what is only assumed of a line is left out.

    `calibration_error` is ECE over ten bins; `recall_at` the recall where `FALSE_ALARMS` of other lines are flagged,
    from the probability `threshold_at`.
    """

    policy: str
    examples: int
    positives: int
    average_precision: float
    auroc: float
    precision: Share
    recall: Share
    calibration_error: float
    bins: tuple[Bin, ...]
    recall_at: Share
    threshold_at: float


@dataclass(frozen=True)
class LanguageFigures:
    """Lines about policies that were flagged under one of them, and ordinary lines flagged under any."""

    source: str
    language: str
    recall: Share
    false_alarms: Share


@dataclass(frozen=True)
class PairFigures:
    """Hateful lines beside lines with the same nouns: `ordered` pairs have the hateful one higher."""

    language: str
    ordered: Share
    recall: Share
    false_alarms: Share


@dataclass(frozen=True)
class Evaluation:
    """`judged` holds the lines themselves by policy, for whoever asks more of them; two runs compare without it."""

    policies: tuple[PolicyFigures, ...]
    languages: tuple[LanguageFigures, ...]
    pairs: tuple[PairFigures, ...]
    cold_accuracy: Share
    judged: Mapping[str, Judged] = field(default_factory=dict, compare=False, repr=False)

    @property
    def mean_average_precision(self) -> float:
        return float(np.mean([figures.average_precision for figures in self.policies]))


def probabilities(fitted: Fitted, lines: Lines) -> Mapping[str, Floats]:
    """Calibrated probability of every line, by policy, exactly as the pool computes it from card and head."""
    return {
        label: np.array(
            [
                fitted.labels[label].calibration_for(language)(float(score))
                for language, score in zip(lines.languages, lines.scores[:, column], strict=True)
            ]
        )
        for column, label in enumerate(fitted.head.labels)
    }


def evaluate(fitted: Fitted, examples: Sequence[Example], vectors: NDArray[np.float32]) -> Evaluation:
    """Figures over the held-out examples among those given."""
    lines = lines_of(fitted.head, examples, vectors, "held-out")
    found = probabilities(fitted, lines)
    judged = {policy: _judged(policy, lines, found[policy]) for policy in POLICY_IDS}
    return Evaluation(
        policies=tuple(figures_of(policy, judged[policy]) for policy in POLICY_IDS),
        languages=_languages(lines.examples, found),
        pairs=_pairs(lines.examples, found["hate"]),
        cold_accuracy=_accuracy(lines.examples, found["hate"]),
        judged=judged,
    )


def bins_of(truth: NDArray[np.bool_], values: Floats) -> tuple[Bin, ...]:
    """Ten equal bins of probability, empty ones left out."""
    return tuple(starmap(Bin, tenths(truth, values)))


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: distance of said and seen frequency, averaged over the lines."""
    return sum(each.lines * abs(each.said - each.seen) for each in bins) / max(sum(each.lines for each in bins), 1)


def _judged(policy: str, lines: Lines, found: Floats) -> Judged:
    rows = [
        at
        for at, example in enumerate(lines.examples)
        if policy in example.known and policy not in example.assumed and example.source not in APART
    ]
    truth = np.array([lines.examples[at].known[policy] for at in rows], dtype=np.bool_)
    return Judged(truth, found[rows], tuple(lines.languages[at] for at in rows))


def figures_of(policy: str, judged: Judged) -> PolicyFigures:
    """Everything that is said of one policy on these lines."""
    truth, values = judged.truth, judged.probabilities
    flagged = values >= FLAGGED
    both = int((truth & flagged).sum())
    ranked = bool(truth.any() and not truth.all())
    bins = bins_of(truth, values)
    threshold = float(np.quantile(values[~truth], 1 - FALSE_ALARMS, method="higher")) if ranked else math.nan
    return PolicyFigures(
        policy=policy,
        examples=len(truth),
        positives=int(truth.sum()),
        average_precision=float(average_precision_score(truth, values)) if ranked else math.nan,
        auroc=float(roc_auc_score(truth, values)) if ranked else math.nan,
        precision=Share(both, int(flagged.sum())),
        recall=Share(both, int(truth.sum())),
        calibration_error=calibration_error(bins),
        bins=bins,
        recall_at=Share(int((values[truth] > threshold).sum()), int(truth.sum())),
        threshold_at=threshold,
    )


def _languages(examples: Sequence[Example], found: Mapping[str, Floats]) -> tuple[LanguageFigures, ...]:
    """Only lines whose every policy is meant: phrases and hand-written ones."""
    groups: dict[tuple[str, str], list[int]] = {}
    for at, example in enumerate(examples):
        if example.source in (PHRASES, HELD_OUT_LINES, CHAT):
            groups.setdefault((example.source, example.language), []).append(at)
    return tuple(_language(*group, members, examples, found) for group, members in sorted(groups.items()))


def _language(
    source: str, language: str, members: Sequence[int], examples: Sequence[Example], found: Mapping[str, Floats]
) -> LanguageFigures:
    meant = {at: [policy for policy, known in examples[at].known.items() if known] for at in members}
    risky = [at for at in members if meant[at]]
    benign = [at for at in members if not meant[at]]
    caught = sum(any(found[policy][at] >= FLAGGED for policy in meant[at]) for at in risky)
    alarms = sum(any(found[policy][at] >= FLAGGED for policy in found) for at in benign)
    return LanguageFigures(source, language, Share(caught, len(risky)), Share(alarms, len(benign)))


def _pairs(examples: Sequence[Example], hate: Floats) -> tuple[PairFigures, ...]:
    """By language; in each pair one line is hateful and the other is not."""
    pairs: dict[tuple[str, str], dict[bool, float]] = {}
    for at, example in enumerate(examples):
        if example.source == PAIRS:
            pairs.setdefault((example.language, example.group), {})[example.known["hate"]] = float(hate[at])
    found = []
    for language in sorted({language for language, _ in pairs}):
        own = [pair for (spoken, _), pair in pairs.items() if spoken == language and len(pair) == 2]
        found.append(
            PairFigures(
                language,
                Share(sum(pair[True] > pair[False] for pair in own), len(own)),
                Share(sum(pair[True] >= FLAGGED for pair in own), len(own)),
                Share(sum(pair[False] >= FLAGGED for pair in own), len(own)),
            )
        )
    return tuple(found)


def _accuracy(examples: Sequence[Example], hate: Floats) -> Share:
    """Share of COLD dev told right by the hate label alone."""
    cold = [at for at, example in enumerate(examples) if example.source == "COLD dev"]
    right = sum(bool(hate[at] >= FLAGGED) == examples[at].known["hate"] for at in cold)
    return Share(right, len(cold))
