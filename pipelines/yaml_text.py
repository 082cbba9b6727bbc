"""YAML from people's files, read so that no file can take a process down: safe loaders only, and sized up before.

A loader goes down a level of its own stack for each level of a file, libyaml's as far as a crash of the process; and
aliases let a page stand for more values than memory holds. The events of a file tell both without building anything.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_DEPTH = 40
MAX_VALUES = 500_000
"""With every alias written out; a large lexicon has a tenth of it."""

MAX_DIGITS = 300
"""Of one number: no setting needs more, and Python writes no number of some thousands."""

_NUMBER = re.compile(r"[-+]?[0-9][0-9a-fx_:.]*", re.IGNORECASE)
_NOT_ITS_TAG = (ValueError, LookupError, AttributeError, TypeError, ArithmeticError)
"""What PyYAML's constructors raise for a text that its tag does not fit: `!!int ""`, `2026-99-99`."""


class YamlError(ValueError):
    """The text cannot be read; one line: the kind of mistake, and where. `problem` says more, `line` counts from 1."""

    def __init__(self, kind: str, problem: str, line: int | None = None) -> None:
        super().__init__(f"{kind} in line {line}" if line else kind)
        self.problem = problem
        self.line = line


def parse_yaml(text: str, loader: type[yaml.CSafeLoader] = yaml.CSafeLoader) -> Any:
    """What the text says; `YamlError` when that cannot be had. `loader`: one with rules of its own."""
    try:
        _size_up(text)
        return yaml.load(text, Loader=loader)  # noqa: S506  # safe loaders, as the type says
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise YamlError(type(error).__name__, error.problem or "broken", line) from None
    except YamlError:
        raise
    except (*_NOT_ITS_TAG, yaml.YAMLError) as error:
        raise YamlError(type(error).__name__, f"a value that is none ({type(error).__name__})") from None


def _size_up(text: str) -> None:
    """`YamlError` for a text that is deeper or larger than any file of ours."""
    inside: list[tuple[str | None, int]] = []  # of the collections that are open: anchor, values before it
    sizes: dict[str, int] = {}
    values = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.AliasEvent():
                values += sizes.get(event.anchor or "", 1)
            case yaml.ScalarEvent():
                values += 1
                _check_number(event)
                if event.anchor:
                    sizes[event.anchor] = 1
            case yaml.CollectionStartEvent():
                inside.append((event.anchor, values))
                if event.anchor:
                    sizes[event.anchor] = MAX_VALUES  # until it ends: within itself it has no end
                values += 1
            case yaml.CollectionEndEvent():
                anchor, before = inside.pop()
                if anchor:
                    sizes[anchor] = values - before
        _check(len(inside), values, event)


def _check_number(scalar: yaml.ScalarEvent) -> None:
    if len(scalar.value) > MAX_DIGITS and _NUMBER.fullmatch(scalar.value):
        raise YamlError("too long a number", f"a number of {len(scalar.value)} digits", _line(scalar))


def _check(depth: int, values: int, at: yaml.Event) -> None:
    if depth > MAX_DEPTH:
        raise YamlError("too deep", f"more than {MAX_DEPTH} levels", _line(at))
    if values > MAX_VALUES:
        raise YamlError("too large", f"more than {MAX_VALUES} values, or an alias within itself", _line(at))


def _line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None
