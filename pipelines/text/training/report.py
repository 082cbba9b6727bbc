"""The figures as a reader gets them: tables in the terminal, the same tables and numbers on the model card."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from pipelines.cards import Card
from pipelines.text.training.evaluate import FLAGGED, Evaluation, PolicyFigures
from pipelines.text.training.fit import Fitted

COMMAND = "liverisk models train text.risk --data DIR"

_EVALUATION = re.compile(r"(?<=^## Evaluation\n).*?(?=^## )", re.DOTALL | re.MULTILINE)
_POLICY_COLUMNS = ("policy", "lines", "about it", "AUPRC", "AUROC", "precision", "recall", "ECE")
_LANGUAGE_COLUMNS = ("lines", "language", "recall", "ordinary lines flagged")


def tables(evaluation: Evaluation) -> str:
    """Markdown that reads as well in a terminal."""
    policies = [
        (
            figures.policy,
            str(figures.examples),
            str(figures.positives),
            _number(figures.average_precision),
            _number(figures.auroc),
            str(figures.precision),
            str(figures.recall),
            _number(figures.calibration_error),
        )
        for figures in evaluation.policies
    ]
    languages = [
        (figures.source, figures.language, str(figures.recall), str(figures.false_alarms))
        for figures in evaluation.languages
    ]
    cold = evaluation.cold_accuracy
    return "\n\n".join(
        (
            _table(_POLICY_COLUMNS, policies),
            _table(_LANGUAGE_COLUMNS, languages),
            f"COLD dev, hate label alone, {cold.of} comments: accuracy {cold}.",
        )
    )


def write_card(card: Card, fitted: Fitted, evaluation: Evaluation, counts: str, folder: Path) -> None:
    """The card with new calibrations, `model-index` and Evaluation section, as README.md in `folder`."""
    metadata: dict[str, Any] = yaml.safe_load(yaml.safe_dump(card.metadata))
    metadata["liverisk"]["labels"] = {
        label: {"policies": [label], "calibration": calibration.model_dump()}
        for label, calibration in fitted.calibrations.items()
    }
    metadata["model-index"] = [{"name": card.id, "results": _results(evaluation)}]
    section = (
        f"\nMeasured by `{COMMAND}` on held-out examples ({counts}). A line counts as flagged from a probability of "
        f"{FLAGGED}; intervals are Wilson's at 95 %. Each policy is judged only on lines that are known to be about "
        f"it or not.\n\n{tables(evaluation)}\n\n"
    )
    body, replaced = _EVALUATION.subn(lambda _: section, card.body)
    if not replaced:
        body = f"{card.body.rstrip()}\n\n## Evaluation\n{section.rstrip()}\n"
    front = yaml.safe_dump(metadata, allow_unicode=True, sort_keys=False, width=120)
    (folder / "README.md").write_text(f"---\n{front}---\n{body}", encoding="utf-8")


def _results(evaluation: Evaluation) -> list[dict[str, Any]]:
    """`model-index` results as the Hub's schema wants them: one for the whole mixture, one for COLD."""
    mixture = [metric for figures in evaluation.policies for metric in _metrics(figures)]
    cold = {"type": "accuracy", "value": round(evaluation.cold_accuracy.value, 4), "name": "Accuracy of the hate label"}
    task = {"type": "text-classification", "name": "Risk policies of chat, speech and on-screen text"}
    return [
        {
            "task": task,
            "dataset": {"type": "liverisk-text", "name": "Held-out mixture of public data and phrases"},
            "metrics": mixture,
        },
        {"task": task, "dataset": {"type": "cold", "name": "COLDataset", "split": "dev"}, "metrics": [cold]},
    ]


def _metrics(figures: PolicyFigures) -> list[dict[str, Any]]:
    named = {
        "average_precision": figures.average_precision,
        "precision": figures.precision.value,
        "recall": figures.recall.value,
    }
    return [
        {"type": kind, "value": round(value, 4), "name": f"{figures.policy}: {kind.replace('_', ' ')}"}
        for kind, value in named.items()
        if not math.isnan(value)
    ]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
    lines = [[text.ljust(width) for text, width in zip(row, widths, strict=True)] for row in (columns, *rows)]
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
