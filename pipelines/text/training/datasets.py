"""What the risk model learns from: public data sets and phrases, each mapped to the policies it says something about.

A data set labelled for insults says nothing of drugs. So an example carries only what is known: True, False, or
absent. Absent labels are neither learned nor judged. Beside the policies an example keeps the labels of its own data
set (`native`): the encoder learns them too, because they are what the annotators were asked, and they are not shipped.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipelines.policies import POLICY_IDS
from pipelines.text.normalise import normalise
from pipelines.text.training.phrases import Phrase

Split = Literal["train", "tune", "calibrate", "held-out"]
"""`tune` stops the training and chooses its strength, `calibrate` gives the calibrations, `held-out` the figures."""
SPLITS: tuple[Split, ...] = ("train", "tune", "calibrate", "held-out")

PHRASES, HELD_OUT_LINES, CHAT, PAIRS = "phrases", "held-out lines", "chat", "hate pairs"
"""Sources beside the public data sets: templates, lines by their author, and lines by somebody else."""

_HELD_OUT: tuple[Split, ...] = ("held-out",)
_MOSTLY: tuple[Split, ...] = (
    *("train", "train", "train", "calibrate", "train", "tune", "train", "held-out"),
    *("train", "train", "train", "calibrate", "train", "train", "train", "held-out"),
)
_LEARNED: tuple[Split, ...] = ("tune", "calibrate", *("train",) * 30)

TALK = frozenset({"scam", "gambling", "dangerous_acts", "minor_safety", "regulated_goods"})
"""Policies that comments about other subjects are taken not to be about; wrong for a few lines in a thousand."""
GOODS = TALK | {"drugs", "weapons", "self_harm"}

MODERATION_CATEGORIES = ("S", "H", "V", "HR", "SH", "H2", "V2")
NATIVE_LABELS = (
    *(f"moderation/{name}" for name in MODERATION_CATEGORIES),
    *("cold/offensive", "davidson/hate", "davidson/offensive", "surge/toxic"),
)


class DataError(ValueError):
    """The training data cannot be used; one line that says what is missing."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text; `known` maps a policy to whether the text is about it, and leaves out what nobody knows.

    Examples of one `group` are too alike to judge each other: they are learned from together or not at all. What is
    `assumed` is known by the subject of the data set alone. Where `text` is a second view, `written` is the text that
    somebody wrote; it is empty where they are the same.
    """

    text: str
    group: str
    known: Mapping[str, bool]
    source: str
    language: str
    split: Split
    native: Mapping[str, bool] = field(default_factory=dict)
    assumed: frozenset[str] = frozenset()
    written: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a data set as its reader understands it; of each `kind` a data set may limit how many are kept."""

    text: str
    known: Mapping[str, bool]
    native: Mapping[str, bool]
    assumed: Mapping[str, bool]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class DataSet:
    """One file and how to read it. `most` rows of a kind are kept, chosen by their digest, evenly over the file."""

    name: str
    file: str
    language: str
    most: int
    splits: tuple[Split, ...]
    read: Callable[[Path], Iterator[Row]]


def read_examples(directory: Path) -> tuple[Example, ...]:
    """The examples of every data set; `DataError` names the files that the directory lacks."""
    missing = [data.file for data in DATA_SETS if not (directory / data.file).is_file()]
    if missing:
        raise DataError(f"training data missing: {directory} has no {', '.join(missing)}; pass its folder with --data")
    return tuple(example for data in DATA_SETS for example in _examples(data, directory))


def phrase_examples(phrases: Iterable[Phrase]) -> tuple[Example, ...]:
    """Phrases as examples; the lines of one template stay in one split."""
    return tuple(
        Example(
            text=phrase.text,
            group=f"{phrase.policy} {phrase.language} {phrase.turn}",
            known={policy: policy == phrase.policy for policy in POLICY_IDS if policy not in phrase.unknown},
            source=PHRASES,
            language=phrase.language,
            split=_MOSTLY[phrase.turn % len(_MOSTLY)],
        )
        for phrase in phrases
    )


def read_lines(path: Path, source: str) -> tuple[Example, ...]:
    """Hand-written lines, JSON Lines of `text`, `language`, `policies`; a policy that is not named is absent.

    A line with a `pair` is grouped with the other line of its pair.
    """
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            known = {policy: policy in row["policies"] for policy in POLICY_IDS}
            text = str(row["text"])
            group = f"pair {row['pair']}" if "pair" in row else text
            examples.append(Example(text, group, known, source, str(row["language"]), "held-out"))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path.name}, line {number}: {type(error).__name__}") from None
    return tuple(examples)


def read_held_out(path: Path) -> tuple[Example, ...]:
    """The hand-written lines that lie beside the phrases."""
    return read_lines(path, HELD_OUT_LINES)


def without_leaks(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Without the examples that read the same, once normalised, as one that is held out."""
    keys = [normalise(example.text).text for example in examples]
    held_out = {key for key, example in zip(keys, examples, strict=True) if example.split == "held-out"}
    return tuple(
        example
        for key, example in zip(keys, examples, strict=True)
        if example.split == "held-out" or key not in held_out
    )


def _examples(data: DataSet, directory: Path) -> Iterator[Example]:
    rows = {row.text: row for row in data.read(directory / data.file) if row.text.strip()}
    kept: Counter[str] = Counter()
    for text in sorted(rows, key=_digest):
        row = rows[text]
        kept[row.kind] += 1
        if kept[row.kind] > data.most:
            continue
        split = data.splits[int(_digest(text)[-6:], 16) % len(data.splits)]
        yield Example(
            text=text,
            group=text,
            known={**row.assumed, **row.known},
            source=data.name,
            language=data.language,
            split=split,
            native=row.native,
            assumed=frozenset(row.assumed.keys() - row.known.keys()),
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _absent(policies: Iterable[str]) -> dict[str, bool]:
    return dict.fromkeys(sorted(policies), False)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _cold(path: Path) -> Iterator[Row]:
    """COLDataset: comments on race, region and gender; what offends there is taken for hate."""
    for row in _csv(path):
        offensive = row["offensive"] == "1"
        known = {"hate": offensive} | ({} if offensive else {"harassment": False})
        assumed = _absent(GOODS | {"sexual"}) | ({} if offensive else {"violence": False})
        yield Row(row["text"], known, {"cold/offensive": offensive}, assumed)


def _davidson(path: Path) -> Iterator[Row]:
    """Tweets: 0 hate, 1 offensive but not hate (harassment as often as banter: unknown), 2 neither."""
    for row in _csv(path):
        kind = row["class"]
        known = {"0": {"hate": True}, "1": {}, "2": {"hate": False, "harassment": False}}[kind]
        assumed = {"0": {}, "1": {"hate": False}, "2": {"violence": False}}[kind]
        native = {"davidson/hate": kind == "0", "davidson/offensive": kind == "1"}
        yield Row(row["tweet"], known, native, _absent(TALK) | assumed, kind)


def _surge(path: Path) -> Iterator[Row]:
    """Comments under posts; toxic is taken for harassment."""
    for row in _csv(path):
        toxic = row["is_toxic"] == "Toxic"
        known = {"harassment": toxic} | ({} if toxic else {"hate": False})
        assumed = _absent(GOODS) | ({} if toxic else {"violence": False})
        yield Row(row["text"], known, {"surge/toxic": toxic}, assumed)


def _moderation(path: Path) -> Iterator[Row]:
    """OpenAI's moderation samples. An absent category is unknown, and a policy is known by what is left."""
    categories: Mapping[str, Sequence[str]] = {
        "sexual": ("S",),
        "hate": ("H", "H2"),
        "harassment": ("HR",),
        "violence": ("V", "V2"),
        "self_harm": ("SH",),
    }
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        known: dict[str, bool] = {}
        for policy, names in categories.items():
            values = [row[name] for name in names if name in row]
            if 1 in values or len(values) == len(names):
                known[policy] = 1 in values
        native = {f"moderation/{name}": row[name] == 1 for name in MODERATION_CATEGORIES if name in row}
        yield Row(row["prompt"], known, native, _absent({"scam", "gambling"}))


DATA_SETS: tuple[DataSet, ...] = (
    DataSet("COLD train", "cold_train.csv", "zh", 50_000, _LEARNED, _cold),
    DataSet("COLD dev", "cold_dev.csv", "zh", 50_000, _HELD_OUT, _cold),
    DataSet("Moderation half", "openai_moderation_half.jsonl", "en", 1000, _MOSTLY, _moderation),
    DataSet("Davidson", "davidson_tweets.csv", "en", 2500, _MOSTLY, _davidson),
    DataSet("Surge half", "surge_toxicity_half.csv", "en", 1000, _MOSTLY, _surge),
)
