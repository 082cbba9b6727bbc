"""What the risk head learns from: public data sets and phrases, each mapped to the policies it says something about.

A data set labelled for insults says nothing of drugs. So an example carries only what is known: True, False, or
absent. Absent labels are neither learned nor judged.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.policies import POLICY_IDS
from pipelines.text.training.phrases import Phrase

Split = Literal["train", "held-out"]
SPLITS: tuple[Split, ...] = ("train", "held-out")

_MOSTLY: tuple[Split, ...] = (*("train",) * 7, "held-out")

TALK = frozenset({"scam", "gambling", "dangerous_acts", "minor_safety", "regulated_goods"})
"""Policies that comments about other subjects are taken not to be about; wrong for a few lines in a thousand."""
GOODS = TALK | {"drugs", "weapons", "self_harm"}


class DataError(ValueError):
    """The training data cannot be used; one line that says what is missing."""


@dataclass(frozen=True, slots=True)
class Example:
    """One text; `known` maps a policy to whether the text is about it, and leaves out what nobody knows.

    Examples of one `group` are too alike to judge each other: they are learned from together or not at all.
    """

    text: str
    group: str
    known: Mapping[str, bool]
    source: str
    language: str
    split: Split


@dataclass(frozen=True, slots=True)
class DataSet:
    """One file and how to read it. `most` examples are kept, chosen by their digest, evenly over the file."""

    name: str
    file: str
    language: str
    most: int
    splits: tuple[Split, ...]
    read: Callable[[Path], Iterator[tuple[str, dict[str, bool]]]]


def read_examples(directory: Path) -> tuple[Example, ...]:
    """The examples of every data set; `DataError` names the files that the directory lacks."""
    missing = [data.file for data in DATA_SETS if not (directory / data.file).is_file()]
    if missing:
        raise DataError(f"training data missing: {directory} has no {', '.join(missing)}; pass its folder with --data")
    return tuple(example for data in DATA_SETS for example in _examples(data, directory))


def phrase_examples(phrases: Iterable[Phrase]) -> tuple[Example, ...]:
    """Phrases as examples. Every eighth template of a file and language is held out with all its lines."""
    return tuple(
        Example(
            text=phrase.text,
            group=f"{phrase.policy} {phrase.language} {phrase.turn}",
            known=_known(phrase),
            source="phrases",
            language=phrase.language,
            split=_MOSTLY[phrase.turn % len(_MOSTLY)],
        )
        for phrase in phrases
    )


def read_held_out(path: Path) -> tuple[Example, ...]:
    """Hand-written lines, JSON Lines of `text`, `language`, `policies`; a policy that is not named is absent."""
    examples = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            known = {policy: policy in row["policies"] for policy in POLICY_IDS}
            text = str(row["text"])
            examples.append(Example(text, text, known, "held-out lines", str(row["language"]), "held-out"))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path.name}, line {number}: {type(error).__name__}") from None
    return tuple(examples)


def _known(phrase: Phrase) -> dict[str, bool]:
    return {policy: policy == phrase.policy for policy in POLICY_IDS if policy not in phrase.unknown}


def _examples(data: DataSet, directory: Path) -> Iterator[Example]:
    rows = {text: known for text, known in data.read(directory / data.file) if text.strip()}
    chosen = sorted(rows, key=_digest)[: data.most]
    for text in chosen:
        split = data.splits[int(_digest(text)[-6:], 16) % len(data.splits)]
        yield Example(text, text, rows[text], data.name, data.language, split)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _absent(policies: Iterable[str]) -> dict[str, bool]:
    return dict.fromkeys(sorted(policies), False)


def _csv(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _cold(path: Path) -> Iterator[tuple[str, dict[str, bool]]]:
    """COLDataset: comments on race, region and gender; offensive is taken for hate."""
    for row in _csv(path):
        offensive = row["offensive"] == "1"
        known = {"hate": offensive} | ({} if offensive else {"harassment": False, "violence": False})
        yield row["text"], known | _absent(GOODS | {"sexual"})


def _davidson(path: Path) -> Iterator[tuple[str, dict[str, bool]]]:
    """Tweets: 0 hate, 1 offensive (as often between friends as not: unknown), 2 neither."""
    for row in _csv(path):
        known = {"0": {"hate": True}, "1": {}, "2": {"hate": False, "harassment": False, "violence": False}}
        yield row["tweet"], known[row["class"]] | _absent(TALK)


def _surge(path: Path) -> Iterator[tuple[str, dict[str, bool]]]:
    """Comments under posts; toxic is taken for harassment."""
    for row in _csv(path):
        toxic = row["is_toxic"] == "Toxic"
        known = {"harassment": toxic} | ({} if toxic else {"hate": False, "violence": False})
        yield row["text"], known | _absent(GOODS)


def _moderation(path: Path) -> Iterator[tuple[str, dict[str, bool]]]:
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
        yield row["prompt"], known | _absent({"scam", "gambling"})


DATA_SETS: tuple[DataSet, ...] = (
    DataSet("COLD train", "cold_train.csv", "zh", 8000, ("train",), _cold),
    DataSet("COLD dev", "cold_dev.csv", "zh", 1000, ("held-out",), _cold),
    DataSet("Moderation half", "openai_moderation_half.jsonl", "en", 1000, _MOSTLY, _moderation),
    DataSet("Davidson", "davidson_tweets.csv", "en", 4000, _MOSTLY, _davidson),
    DataSet("Surge half", "surge_toxicity_half.csv", "en", 1000, _MOSTLY, _surge),
)
