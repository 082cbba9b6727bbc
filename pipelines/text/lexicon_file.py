"""Lexicons as analysts write them: YAML files of terms, one a policy and language, and what of them is in force today.

A folder is read whole or not at all: a mistake in one file must not quietly take its terms away.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, StringConstraints, ValidationError, field_validator, model_validator

from pipelines.manifest import as_one_line, one_line
from pipelines.policies import POLICY_IDS
from pipelines.strict import Sha256, Strict
from pipelines.text.normalise import normalise
from pipelines.yaml_text import YamlError, parse_yaml

LEXICONS_DIRECTORY = Path(__file__).resolve().parents[2] / "configs" / "lexicons"
SUFFIXES = (".yaml", ".yml")
SOON = timedelta(days=30)
"""A term that expires within this is worth a word."""
FEWEST_CHARACTERS, FEWEST_DIGITS = 2, 3

Spelling = Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]


class LexiconError(ValueError):
    """A lexicon cannot be used; one line that names the file and the term."""


class Term(Strict):
    """One term as it is written in a file. What each key means to a writer: docs/lexicons.md."""

    term: Spelling
    note: str = ""
    owner: str | None = Field(default=None, description="null: the file's")
    variants: tuple[Spelling, ...] = Field(default=(), description="other spellings")
    phrases: tuple[Spelling, ...] = Field(default=(), description="other words for it: plain, and no disguise")
    strength: float = Field(gt=0, lt=1, description="probability that a line with it is about the policy")
    sounds: bool = Field(default=False, description="also by pinyin or as a homophone; then only in context")
    alone: bool = Field(default=True, description="false: needs context even where it is spelt plainly")
    allow: tuple[Spelling, ...] = Field(default=(), description="phrases in which it does not count")
    expires: date | None = Field(default=None, description="the last day in force")

    @model_validator(mode="after")
    def _can_be_heard(self) -> Term:
        if self.sounds and (len(self.term) < FEWEST_CHARACTERS or not all(map(is_han, self.term))):
            raise ValueError("sounds: only a term of two or more Chinese characters, and nothing else, has one")
        return self

    def is_in_force(self, today: date) -> bool:
        return self.expires is None or today <= self.expires


class LexiconFile(Strict):
    """One file: the terms of one policy in one language, and who answers for them."""

    policy: str
    language: Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}$")]
    owner: Annotated[str, StringConstraints(min_length=1)]
    terms: tuple[Term, ...]

    @field_validator("policy")
    @classmethod
    def _known(cls, policy: str) -> str:
        if policy not in POLICY_IDS:
            raise ValueError(f"{policy} is no policy; there are {', '.join(POLICY_IDS)}")
        return policy

    @model_validator(mode="after")
    def _each_spelling_once_and_long_enough(self) -> LexiconFile:
        owners: dict[str, int] = {}
        for index, term in enumerate(self.terms):
            for spelling in (term.term, *term.variants, *term.phrases):
                form = normalise(spelling).text
                if not is_long_enough(form):
                    raise ValueError(f"term {term.term}: {spelling} is too short: it would match everywhere")
                other = owners.setdefault(form, index)
                if other != index:
                    raise ValueError(f"{spelling} is a spelling of {self.terms[other].term} and of {term.term}")
        return self


class Entry(Strict):
    """What matching knows of one term: everything that changes what is found, and nothing else."""

    policy: str
    language: str
    term: str
    variants: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    strength: float
    sounds: bool = False
    alone: bool = True
    allow: tuple[str, ...] = ()


class Entries(Strict):
    """The terms in force on one day, in an order of their own. Stored with a run, it brings the same lexicon back."""

    entries: tuple[Entry, ...] = ()

    @cached_property
    def digest(self) -> Sha256:
        """Over what changes matching: the order and names of files, notes and comments do not."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Survey:
    """One policy and language on one day: terms in force, how many expired, and those that soon will, with the day."""

    policy: str
    language: str
    terms: int
    expired: int
    expiring: tuple[tuple[str, date], ...]


def read_files(folder: Path) -> tuple[LexiconFile, ...]:
    """Every lexicon of the folder, in the order of their names; `LexiconError` for the first mistake in any."""
    try:
        paths = sorted(path for path in folder.iterdir() if is_lexicon(path))
    except OSError as error:
        raise LexiconError(f"{folder}: no folder of lexicons ({type(error).__name__})") from None
    return tuple(_read(path) for path in paths)


def is_lexicon(path: Path) -> bool:
    """Whether a file of the folder is read; editors' hidden copies are not."""
    return path.suffix in SUFFIXES and not path.name.startswith(".")


def in_force(files: Iterable[LexiconFile], today: date) -> Entries:
    """What counts today."""
    found = {_entry(file, term) for file in files for term in file.terms if term.is_in_force(today)}
    return Entries(entries=tuple(sorted(found, key=lambda one: one.model_dump_json())))


def survey(files: Sequence[LexiconFile], today: date) -> tuple[Survey, ...]:
    """What the files hold, by policy and language."""
    places = sorted({(file.policy, file.language) for file in files})
    return tuple(_survey(place, [f for f in files if (f.policy, f.language) == place], today) for place in places)


def is_long_enough(spelling: str) -> bool:
    """Whether a normalised spelling is more than one character that means anything by itself."""
    written = spelling.replace(" ", "")
    if any(map(is_emoji, written)):
        return True
    if any(character.isalpha() for character in written):
        return sum(character.isalnum() or character == "+" for character in written) >= FEWEST_CHARACTERS
    return sum(character.isdigit() for character in written) >= FEWEST_DIGITS


def is_emoji(character: str) -> bool:
    """Pictures, and other signs that Unicode calls symbols of no other kind."""
    return unicodedata.category(character) == "So"


def is_han(character: str) -> bool:
    return (
        "\u3400" <= character <= "\u9fff"
        or "\uf900" <= character <= "\ufaff"
        or "\U00020000" <= character < "\U00040000"
    )


class _Loader(yaml.CSafeLoader):
    """A key that is there twice is a mistake: YAML would drop the first without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        counted = Counter(str(key.value) for key, _ in node.value)
        twice = next((name for name, count in counted.items() if count > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"{twice} is there twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _read(path: Path) -> LexiconFile:
    try:
        return _parsed(path.name, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise LexiconError(f"{path.name}: unreadable ({type(error).__name__})") from None


@lru_cache(maxsize=256)
def _parsed(name: str, text: str) -> LexiconFile:
    """Remembered: all files are read again when one has changed, and for every run that is planned."""
    try:
        content = parse_yaml(text, _Loader)
    except YamlError as error:
        line = f" line {error.line}" if error.line else ""
        raise LexiconError(f"{name}{line}: not readable as YAML, {as_one_line(error.problem)}") from None
    if not isinstance(content, dict):
        raise LexiconError(f"{name}: must be a mapping with policy, language, owner and terms")
    try:
        file = LexiconFile.model_validate(content)
    except ValidationError as error:
        raise LexiconError(f"{name}: {_told(error, content)}") from None
    if name.split(".")[:2] != [file.policy, file.language]:
        raise LexiconError(f"{name}: holds {file.policy}.{file.language}; name it {file.policy}.{file.language}.yaml")
    return file


def _told(error: ValidationError, content: dict[str, Any]) -> str:
    """The first mistake with the term it is in, which a reader finds faster than its number."""
    place = error.errors(include_url=False)[0]["loc"]
    said = one_line(error).replace("Value error, ", "").removeprefix("manifest: ")
    if len(place) < 2 or place[0] != "terms" or not isinstance(place[1], int):
        return said
    entry = content["terms"][place[1]]
    name = entry.get("term") if isinstance(entry, dict) else None
    rest = said.removeprefix(f"terms.{place[1]}").lstrip(".")
    hint = "; put it in quotes" if "valid string" in rest else ""
    return f"term {as_one_line(name, 80) if isinstance(name, str) else place[1] + 1}: {rest.removeprefix(': ')}{hint}"


def _entry(file: LexiconFile, term: Term) -> Entry:
    return Entry(
        policy=file.policy,
        language=file.language,
        term=term.term,
        variants=tuple(sorted(set(term.variants))),
        phrases=tuple(sorted(set(term.phrases))),
        strength=term.strength,
        sounds=term.sounds,
        alone=term.alone,
        allow=tuple(sorted(set(term.allow))),
    )


def _survey(place: tuple[str, str], files: Sequence[LexiconFile], today: date) -> Survey:
    terms = [term for file in files for term in file.terms]
    standing = [term for term in terms if term.is_in_force(today)]
    soon = [(term.term, term.expires) for term in standing if term.expires and term.expires - today <= SOON]
    return Survey(*place, len(standing), len(terms) - len(standing), tuple(sorted(soon, key=lambda one: one[1])))
