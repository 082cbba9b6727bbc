"""Lines of livestream chat written from templates, for the policies that no public data covers.

A template is a sentence with choices: `{a|b}` takes one of them, `{name}` one entry of that slot of its
language, and both nest. `{~a|b}` writes its choice in disguise: its characters apart, or digits and signs for
letters. A leading `?policy ` (or `?policy,policy `) leaves open what the template's lines mean for that policy.
Each template gives a bounded number of distinct lines, the same on every run, so that a long list of choices
does not drown a short one. Some lines get the manners of chat around them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import yaml
from pydantic import Field, ValidationError

from pipelines.manifest import one_line
from pipelines.policies import POLICY_IDS
from pipelines.strict import Strict

LINES_OF_RISK = 9
LINES_OF_BENIGN = 16
"""Per template. Ordinary chat is most of what a pool reads, and most of what it must not flag."""
SHARE_WITH_MANNERS = 0.2

_BETWEEN = (" ", " ", ".", "*", "-", "_", "/", "·", "~", "，", "🌟")
_LEET = str.maketrans("aeiosAEIOS", "@3105@3105")

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
    """`benign` are look-alikes of the file's policy: they share its slots and are about no policy at all."""

    slots: dict[str, tuple[str, ...]] = {}
    templates: tuple[str, ...] = ()
    benign: tuple[str, ...] = ()


class PhraseFile(Strict):
    """One file, of one language or several: `policy` null means benign.

    What the lines of `templates` mean for `unknown` policies is left open.
    """

    policy: str | None
    unknown: tuple[str, ...] = ()
    zh: Language = Language()
    en: Language = Language()
    es: Language = Language()
    others: Language = Language()
    lines: tuple[str, ...] = Field(default=(), description="whole lines of any language, taken as they are")


@dataclass(frozen=True, slots=True)
class Phrase:
    """One line. `turn` counts the templates of its policy and language: lines of one template stay together."""

    text: str
    policy: str | None
    unknown: tuple[str, ...]
    language: str
    turn: int


def read_phrases(folder: Path) -> tuple[Phrase, ...]:
    """Every line of every file of the folder, none twice; `PhraseError` when a file or template is wrong."""
    seen: dict[str, Phrase] = {}
    turns: Counter[tuple[str | None, str]] = Counter()
    for path in sorted(folder.glob("*.yaml")):
        try:
            file = PhraseFile.model_validate(yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader))
            for phrase in _phrases(file, turns):
                first = seen.setdefault(phrase.text, phrase)
                if (first.policy is None) != (phrase.policy is None):
                    raise ValueError(
                        f"{phrase.text!r} is written both as ordinary and as {first.policy or phrase.policy}"
                    )
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


def _phrases(file: PhraseFile, turns: Counter[tuple[str | None, str]]) -> Iterator[Phrase]:
    for language in ("zh", "en", "es", "others"):
        part: Language = getattr(file, language)
        for policy, unknown, templates in ((file.policy, file.unknown, part.templates), (None, (), part.benign)):
            limit = LINES_OF_RISK if policy else LINES_OF_BENIGN
            for template in templates:
                pattern, left_open = _left_open(template)
                for text in expand(pattern, part.slots, limit):
                    manners = _with_manners(text, language)
                    yield Phrase(manners, policy, unknown + left_open, language, turns[policy, language])
                turns[policy, language] += 1
    for text in file.lines:
        yield Phrase(text, file.policy, file.unknown, "others", turns[file.policy, "others"])
        turns[file.policy, "others"] += 1


def _left_open(template: str) -> tuple[str, tuple[str, ...]]:
    if not template.startswith("?"):
        return template, ()
    names, _, pattern = template[1:].partition(" ")
    unknown = tuple(names.split(","))
    if not set(unknown) <= set(POLICY_IDS):
        raise ValueError(f"no policy {names!r} for the template {template!r}")
    return pattern, unknown


def _fill(template: str, slots: Mapping[str, tuple[str, ...]], dice: np.random.Generator) -> str:
    filled = ""
    for plain, inner in _cut(template):
        filled += plain
        if inner is None:
            continue
        choices = _choices(inner, template, slots)
        chosen = _fill(choices[int(dice.integers(len(choices)))], slots, dice)
        filled += _disguised(chosen, dice) if inner.startswith("~") else chosen
    return filled


@cache
def _cut(template: str) -> tuple[tuple[str, str | None], ...]:
    """Stretches of plain text, each with what stands in the braces that follow it; None after the last."""
    pieces: list[tuple[str, str | None]] = []
    at = 0
    while (start := template.find("{", at)) >= 0:
        end = _closing(template, start)
        pieces.append((template[at:start], template[start + 1 : end]))
        at = end + 1
    return (*pieces, (template[at:], None))


def _choices(inner: str, template: str, slots: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    choices = _split(inner.removeprefix("~"))
    if len(choices) > 1:
        if named := [choice for choice in choices if choice in slots]:
            raise ValueError(f"write {{{named[0]}}} for the slot in the template {template!r}")
        return choices
    if choices[0] not in slots and not inner.startswith("~"):
        raise ValueError(f"no slot {inner!r} for the template {template!r}")
    return slots.get(choices[0], choices)


def _disguised(text: str, dice: np.random.Generator) -> str:
    """As people write who want no filter to read it: a sign between all characters or at one place, or leetspeak."""
    between = _BETWEEN[int(dice.integers(len(_BETWEEN)))]
    way = int(dice.integers(3))
    if way == 0 and text.isascii():
        return text.translate(_LEET)
    if way == 1 and len(text) > 1:
        at = int(dice.integers(1, len(text)))
        return text[:at] + between + text[at:]
    return between.join(text)


def _closing(template: str, start: int) -> int:
    depth = 0
    for at in range(start, len(template)):
        depth += {"{": 1, "}": -1}.get(template[at], 0)
        if depth == 0:
            return at
    raise ValueError(f"a brace is not closed in {template!r}")


@cache
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
    digest = hashlib.sha256(text.encode()).digest()
    before = _BEFORE[language][digest[8] % len(_BEFORE[language])]
    after = _AFTER[language][digest[9] % len(_AFTER[language])]
    draw = int.from_bytes(digest[10:12]) / 2**16
    if draw < SHARE_WITH_MANNERS / 2:
        return before + text
    return text + after if draw < SHARE_WITH_MANNERS else text
