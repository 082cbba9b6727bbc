"""The figures as a reader gets them: tables in the terminal, the same tables and numbers on the model card."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.cards import Card
from pipelines.sessions.adapter import ADAPTER_FILES
from pipelines.text.embedding_head import HEAD_FILE
from pipelines.text.training.crossvalidate import CrossValidated
from pipelines.text.training.evaluate import FALSE_ALARMS, FLAGGED, Evaluation, PolicyFigures
from pipelines.text.training.fit import Fitted
from pipelines.text.training.operating import COLUMNS, Operating, rows
from pipelines.text.training.reliability import PICTURE

COMMAND = "liverisk models train text.risk --data DIR"

_POLICY_COLUMNS = (
    *("policy", "lines", "about it", "AUPRC", "frozen", "AUROC", "precision", "recall", "recall at 1 %", "ECE"),
)
_LANGUAGE_COLUMNS = ("lines", "language", "recall", "ordinary lines flagged", "frozen: recall", "frozen: flagged")
_PAIR_COLUMNS = ("language", "right order", "hateful flagged", "others flagged", "frozen: right order")
_FOLD_COLUMNS = (
    *(
        "data set",
        "label",
        "lines",
        "about it",
        "AUPRC",
        "frozen",
        "AUROC",
        "frozen AUROC",
        "accuracy",
        "frozen accuracy",
    ),
)

FIVE_FOLDS = "five folds"
COLD_DEV = "COLD dev"
_TASK = {"type": "text-classification", "name": "Risk policies of chat, speech and on-screen text"}
_THRESHOLDS = (
    "What the thresholds of `configs/policies.yaml` mean on held-out lines: the share of lines that are not about the "
    "policy and reach each, how many of those about it reach `review`, and the probability above which a stated share "
    "of the others lies. A language has a row where it has lines enough."
)
_PICTURE = f"![Said and seen, by policy]({PICTURE})"
_FOLDS = (
    f"Measured by `{COMMAND}`: what the method learns from one data set alone, judged by its own labels. The "
    "small ones in five folds, every line judged once by what was learned from the other four; COLD on its dev part. "
    "`frozen` is the encoder as it came under a linear head."
)


@dataclass(frozen=True)
class Report:
    """What a training run found. `frozen` is the encoder as it came under a linear head.

    `folds` is empty where cross-validation was not part of the run.
    """

    evaluation: Evaluation
    frozen: Evaluation
    folds: tuple[CrossValidated, ...]
    counts: str
    thresholds: tuple[Operating, ...] = ()


def tables(report: Report) -> str:
    """Markdown that reads as well in a terminal."""
    found, frozen = report.evaluation, report.frozen
    parts = [table(_POLICY_COLUMNS, list(_policy_rows(found, frozen)))]
    if found.languages:
        parts.append(table(_LANGUAGE_COLUMNS, list(_language_rows(found, frozen))))
    if found.pairs:
        parts.append(table(_PAIR_COLUMNS, list(_pair_rows(found, frozen))))
    cold = found.cold_accuracy
    parts.append(
        f"COLD dev, hate label alone, {cold.of} comments: accuracy {cold.value:.3f} "
        f"({cold.interval[0]:.3f}-{cold.interval[1]:.3f}); frozen {frozen.cold_accuracy.value:.3f}."
    )
    if report.thresholds:
        parts.append(f"{_THRESHOLDS}\n\n{table(COLUMNS, list(rows(report.thresholds)))}")
    return "\n\n".join(parts)


def fold_table(folds: Sequence[CrossValidated]) -> str:
    """Likewise, for the data sets that were cross-validated."""
    return table(_FOLD_COLUMNS, list(_fold_rows(folds)))


def write_card(card: Card, fitted: Fitted, report: Report, folder: Path) -> None:
    """The card with new labels, artefacts, `model-index` and Evaluation section, as README.md in `folder`."""
    metadata: dict[str, Any] = yaml.safe_load(yaml.safe_dump(card.metadata))
    metadata["liverisk"]["labels"] = {
        name: {
            "policies": list(label.policies),
            "calibration": label.calibration.model_dump(),
            **(
                {"by_language": {code: each.model_dump() for code, each in label.by_language.items()}}
                if label.by_language
                else {}
            ),
        }
        for name, label in fitted.labels.items()
    }
    adapted = all((folder / name).is_file() for name in ADAPTER_FILES)
    metadata["liverisk"]["artefacts"] = [*(ADAPTER_FILES if adapted else ()), HEAD_FILE]
    metadata["model-index"] = [{"name": card.id, "results": [*_results(report), *_fold_results(card, report)]}]
    body = _with_section(card.body, "Evaluation", f"{_preface(report)}\n\n{tables(report)}\n\n{_PICTURE}")
    if report.folds:
        body = _with_section(body, "Cross-validation", f"{_FOLDS}\n\n{fold_table(report.folds)}")
    front = yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False, width=120)
    (folder / "README.md").write_text(f"---\n{front}---\n{body}", encoding="utf-8")


def _preface(report: Report) -> str:
    return (
        f"Measured by `{COMMAND}` on held-out examples ({report.counts}). A line counts as flagged from a probability "
        f"of {FLAGGED}; intervals are Wilson's at 95 %. Each policy is judged only on lines that somebody judged for "
        f"it. `frozen` is the encoder as it came under a linear head, without the half about spelling; `recall at "
        f"1 %` is that where {FALSE_ALARMS:.0%} of the lines that are not about the policy are flagged."
    )


def _with_section(body: str, title: str, text: str) -> str:
    """The body with the text as that section: in its place if there is one, else at the end."""
    section = re.compile(rf"(?<=^## {title}\n).*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
    if section.search(body):
        return section.sub(lambda _: f"\n{text}\n\n", body).rstrip() + "\n"
    return f"{body.rstrip()}\n\n## {title}\n\n{text}\n"


def _policy_rows(found: Evaluation, frozen: Evaluation) -> Iterator[tuple[str, ...]]:
    for figures, before in zip(found.policies, frozen.policies, strict=True):
        yield (
            figures.policy,
            str(figures.examples),
            str(figures.positives),
            _number(figures.average_precision),
            _number(before.average_precision),
            _number(figures.auroc),
            str(figures.precision),
            str(figures.recall),
            _number(figures.recall_at.value),
            _number(figures.calibration_error),
        )


def _language_rows(found: Evaluation, frozen: Evaluation) -> Iterator[tuple[str, ...]]:
    for figures, before in zip(found.languages, frozen.languages, strict=True):
        yield (
            figures.source,
            figures.language,
            str(figures.recall),
            str(figures.false_alarms),
            _number(before.recall.value),
            _number(before.false_alarms.value),
        )


def _pair_rows(found: Evaluation, frozen: Evaluation) -> Iterator[tuple[str, ...]]:
    for figures, before in zip(found.pairs, frozen.pairs, strict=True):
        yield (
            figures.language,
            str(figures.ordered),
            str(figures.recall),
            str(figures.false_alarms),
            _number(before.ordered.value),
        )


def _fold_rows(folds: Sequence[CrossValidated]) -> Iterator[tuple[str, ...]]:
    for data in folds:
        for each in data.categories:
            yield (
                data.source,
                each.label,
                str(each.examples),
                str(each.positives),
                _number(each.average_precision),
                _number(each.frozen_average_precision),
                _number(each.auroc),
                _number(each.frozen_auroc),
                _number(each.accuracy),
                _number(each.frozen_accuracy),
            )
        if len(data.categories) > 1:
            means = (data.mean_average_precision, data.frozen_mean_average_precision, data.mean_auroc)
            yield (data.source, "mean", "", "", *map(_number, means), "", "", "")


def _results(report: Report) -> list[dict[str, Any]]:
    """`model-index` results as the Hub's schema wants them: one for the whole mixture, one for COLD."""
    found = report.evaluation
    accuracies = [("Accuracy of the hate label", found.cold_accuracy.value)]
    alone = next((data.categories[0] for data in report.folds if data.source == COLD_DEV), None)
    if alone is not None:
        accuracies.append(("Accuracy, learned from COLD train alone", alone.accuracy))
    cold = [{"type": "accuracy", "value": round(value, 4), "name": name} for name, value in accuracies]
    return [
        {
            "task": dict(_TASK),
            "dataset": {"type": "liverisk-text", "name": "Held-out mixture of public data and phrases"},
            "metrics": [metric for figures in found.policies for metric in _metrics(figures)],
        },
        {"task": dict(_TASK), "dataset": {"type": "cold", "name": "COLDataset", "split": "dev"}, "metrics": cold},
    ][: 2 if found.cold_accuracy.of else 1]


def _fold_results(card: Card, report: Report) -> list[dict[str, Any]]:
    """One result for each cross-validated data set; those that the card has where this run made none."""
    if not report.folds:
        before = [result for model in card.metadata.get("model-index", ()) for result in model.get("results", ())]
        return [result for result in before if str(result["dataset"].get("split", "")) == FIVE_FOLDS]
    return [
        {
            "task": dict(_TASK),
            "dataset": {"type": data.source.lower().replace(" ", "-"), "name": data.source, "split": FIVE_FOLDS},
            "metrics": [
                {"type": "average_precision", "value": round(data.mean_average_precision, 4), "name": "Mean AUPRC"},
                {"type": "auroc", "value": round(data.mean_auroc, 4), "name": "Mean AUROC"},
            ],
        }
        for data in report.folds
        if data.source != COLD_DEV
    ]


def _metrics(figures: PolicyFigures) -> list[dict[str, Any]]:
    named = {
        "average_precision": figures.average_precision,
        "precision": figures.precision.value,
        "recall": figures.recall.value,
        "calibration_error": figures.calibration_error,
    }
    return [
        {"type": kind, "value": round(value, 4), "name": f"{figures.policy}: {kind.replace('_', ' ')}"}
        for kind, value in named.items()
        if not math.isnan(value)
    ]


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns stand under one another."""
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    lines = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in (columns, *rows)]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
