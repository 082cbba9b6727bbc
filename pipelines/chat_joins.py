"""Short chat lines of one user that follow one another, read joined: `加` `微` `信` is one message on three lines.

Only one user's own lines are joined. What stands beside them in a lively chat is seldom an answer to them, and a
text made of two people's words would be held against one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipelines.manifest import ChatLine

LONGEST_PAUSE_S = 15.0
"""Between two lines of one message."""
SHORT_CHARACTERS = 6
"""Where a line holds Han or kana, white space not counted."""
SHORT_WORDS = 2
SHORT_WORDS_CHARACTERS = 24
MOST_LINES = 8
"""Of one join. Longer runs are read in joins that overlap by half, so that five lines in a row are always in one."""
MOST_JOINS = 64
"""Of one segment. Those of the shortest lines are kept: who spells a word out does it letter by letter."""

Key = tuple[str, frozenset[str]]
"""What a text is grouped by: its letters, and the signs that dress them."""

_IDEOGRAM = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003134f]")


@dataclass(frozen=True, slots=True)
class Join:
    """`lines` are those of the first user who wrote it so; `repeats` how often it was written so, by `users`."""

    lines: tuple[ChatLine, ...]
    text: str
    users: tuple[str, ...]
    repeats: int


def joins_of(
    lines: Iterable[tuple[ChatLine, str]], *, known: Collection[str], key_of: Callable[[str], Key]
) -> tuple[tuple[Join, ...], int]:
    """The joins in order of their first lines, and how many more there would have been.

    `lines` come with the letters they are grouped by, "" where they hold none. What somebody wrote as one line
    (`known`) is observed already and no join.
    """
    found: dict[Key, list[tuple[ChatLine, ...]]] = {}
    for run in _runs(sorted(lines, key=lambda line: line[0].at_s)):
        for part in _windows(run):
            text = _text(part)
            letters, signs = key_of(text)
            if any(map(str.isalpha, text)) and (signs or letters not in known):
                found.setdefault((letters, signs), []).append(part)
    shortest = sorted(found.values(), key=lambda parts: _length(parts[0]) / len(parts[0]))[:MOST_JOINS]
    joins = (_join(parts) for parts in shortest)
    return tuple(sorted(joins, key=lambda join: join.lines[0].at_s)), len(found) - len(shortest)


def is_short(text: str) -> bool:
    """At most six characters of a script without spaces, or two words."""
    if _IDEOGRAM.search(text):
        return len("".join(text.split())) <= SHORT_CHARACTERS
    return len(text.split()) <= SHORT_WORDS and len(text.strip()) <= SHORT_WORDS_CHARACTERS


def _runs(lines: Iterable[tuple[ChatLine, str]]) -> Iterator[Sequence[ChatLine]]:
    """Each user's short lines in a row, without repetition. A long line or a pause ends a run."""
    open_runs: dict[str, list[tuple[ChatLine, str]]] = {}
    for line, letters in lines:
        run = open_runs.get(line.user, [])
        short = is_short(line.text)
        if run and (not short or line.at_s - run[-1][0].at_s > LONGEST_PAUSE_S):
            yield [one for one, _ in run]
            run = open_runs[line.user] = []
        said = letters or line.text.strip()
        if short and said and not (run and run[-1][1] == said):
            open_runs.setdefault(line.user, run).append((line, said))
    for run in open_runs.values():
        yield [one for one, _ in run]


def _windows(run: Sequence[ChatLine]) -> Iterator[tuple[ChatLine, ...]]:
    if len(run) < 2:
        return
    yield tuple(run[:MOST_LINES])
    for start in range(MOST_LINES // 2, len(run) - MOST_LINES // 2, MOST_LINES // 2):
        yield tuple(run[start : start + MOST_LINES])


def _text(lines: Sequence[ChatLine]) -> str:
    parts = [" ".join(line.text.split()) for line in lines]
    glued = [_space(before, after) + after for before, after in pairwise(parts)]
    return parts[0] + "".join(glued)


def _space(before: str, after: str) -> str:
    """A space between words; none between letters that are spelt out one by one, nor in scripts without spaces."""
    border = before[-1:] + after[:1]
    spelt = len(before) == len(after) == 1
    return "" if spelt or not border.isalnum() or _IDEOGRAM.search(border) else " "


def _length(lines: Sequence[ChatLine]) -> int:
    return sum(len(line.text.strip()) for line in lines)


def _join(parts: Sequence[tuple[ChatLine, ...]]) -> Join:
    first = parts[0]
    users = tuple(dict.fromkeys(lines[0].user for lines in parts))
    return Join(lines=first, text=_text(first), users=users, repeats=len(parts))
