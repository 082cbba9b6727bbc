"""Lines of livestream chat written from templates, for the policies that no public data covers.

A template is a sentence with choices: `{a|b}` takes one of them, `{name}` one entry of that slot of its
language, and both nest. Each template gives a bounded number of distinct lines, the same on every run, so that
a long list of choices does not drown a short one. Some lines get the manners of chat around them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from pydantic import Field, ValidationError

from pipelines.manifest import one_line
from pipelines.strict import Strict

LINES_OF_RISK = 9
LINES_OF_BENIGN = 16
"""Per template. Ordinary chat is most of what a pool reads, and most of what it must not flag."""
SHARE_WITH_MANNERS = 0.2

_BEFORE = {
    "zh": ("家人们，", "兄弟们 ", "主播，", "哈哈，", "大家", "公告：", "【置顶】"),
    "en": ("guys, ", "hey ", "bro ", "ok so ", "listen: ", "NOTICE: "),
    "es": ("chicos, ", "oye ", "amigos, ", "atención: "),
}
_AFTER = {
    "zh": ("！！！", "~", "啊", "呢", "[玫瑰]", "🔥", "👇"),
    "en": ("!!!", " lol", " pls", " 🔥", " 👇", "..."),
    "es": ("!!!", " porfa", " 🔥", " 👇", "..."),
}


class PhraseError(ValueError):
    """A phrase file cannot be used; one line that names the file."""


class Language(Strict):
    slots: dict[str, tuple[str, ...]] = {}
    templates: tuple[str, ...]


class PhraseFile(Strict):
    """One file: `policy` null means benign. What its lines mean for the policies in `unknown` is left open."""

    policy: str | None
    unknown: tuple[str, ...] = ()
    zh: Language
    en: Language
    es: Language
    others: Language
    lines: tuple[str, ...] = Field(default=(), description="whole lines of any language, taken as they are")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line. `turn` counts the templates of its file and language: lines of one template stay together."""

    text: str
    policy: str | None
    unknown: tuple[str, ...]
    language: str
    turn: int


def read_phrases(folder: Path) -> tuple[Phrase, ...]:
    """Every line of every file of the folder, none twice; `PhraseError` when a file or template is wrong."""
    seen: dict[str, Phrase] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            file = PhraseFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
            for phrase in _phrases(file):
                seen.setdefault(phrase.text, phrase)
        except ValidationError as error:
            raise PhraseError(f"{path.name}: {one_line(error)}") from None
        except (OSError, yaml.YAMLError, KeyError, ValueError) as error:
            raise PhraseError(f"{path.name}: {error}") from None
    if not seen:
        raise PhraseError(f"{folder}: no phrase files")
    return tuple(seen.values())


def expand(template: str, slots: Mapping[str, tuple[str, ...]], limit: int) -> tuple[str, ...]:
    """Up to `limit` distinct lines of a template, chosen by a generator seeded with the template itself."""
    seed = int.from_bytes(hashlib.sha256(template.encode()).digest()[:8])
    dice = np.random.default_rng(seed)
    lines: dict[str, None] = {}
    for _ in range(limit * 4):
        lines.setdefault(_fill(template, slots, dice).strip())
        if len(lines) == limit:
            break
    return tuple(lines)


def _phrases(file: PhraseFile) -> Iterator[Phrase]:
    limit = LINES_OF_RISK if file.policy else LINES_OF_BENIGN
    for language in ("zh", "en", "es", "others"):
        part: Language = getattr(file, language)
        for turn, template in enumerate(part.templates):
            for text in expand(template, part.slots, limit):
                yield Phrase(_with_manners(text, language), file.policy, file.unknown, language, turn)
    for turn, text in enumerate(file.lines):
        yield Phrase(text, file.policy, file.unknown, "others", turn)


def _fill(template: str, slots: Mapping[str, tuple[str, ...]], dice: np.random.Generator) -> str:
    start = template.find("{")
    if start < 0:
        return template
    end = _closing(template, start)
    choices = _split(template[start + 1 : end])
    if len(choices) == 1:
        if choices[0] not in slots:
            raise ValueError(f"no slot {choices[0]!r} for the template {template!r}")
        choices = slots[choices[0]]
    chosen = _fill(choices[int(dice.integers(len(choices)))], slots, dice)
    return template[:start] + chosen + _fill(template[end + 1 :], slots, dice)


def _closing(template: str, start: int) -> int:
    depth = 0
    for at in range(start, len(template)):
        depth += {"{": 1, "}": -1}.get(template[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"a brace is not closed in {template!r}")


def _split(choices: str) -> tuple[str, ...]:
    """At the bars that are not inside inner braces."""
    parts, depth = [""], 0
    for character in choices:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "|" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return tuple(parts)


def _with_manners(text: str, language: str) -> str:
    """Some lines, chosen by their own digest, with what people put before or after anything they write."""
    if language not in _BEFORE:
        return text
    dice = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[8:16]))
    before = _BEFORE[language][int(dice.integers(len(_BEFORE[language])))]
    after = _AFTER[language][int(dice.integers(len(_AFTER[language])))]
    draw = float(dice.random())
    if draw < SHARE_WITH_MANNERS / 2:
        return before + text
    return text + after if draw < SHARE_WITH_MANNERS else text
