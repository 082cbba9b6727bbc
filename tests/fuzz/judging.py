"""What may come of a hostile input: a value, or the named error of its entry point in one short line, and no more."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from traceback import extract_tb
from typing import Literal

from hypothesis.strategies import SearchStrategy

MAX_MESSAGE = 600
"""Characters of an error: a path, a field and what is wrong with it."""

Run = Callable[[bytes], str]
"""Does with the bytes what the program does, and says what came of it: `accepted`, or how they were put aside."""


@dataclass(frozen=True)
class Target:
    """An entry point. `named` are its errors, `limit_s` the processor's time for one input (`waits`: the clock's)."""

    name: str
    opened: Callable[[], AbstractContextManager[Run]]
    seeds: Callable[[], list[bytes]]
    named: tuple[type[Exception], ...]
    shaped: Callable[[], SearchStrategy[bytes]] | None = None
    limit_s: float = 2.0
    waits: bool = False
    guided: bool = True


@dataclass(frozen=True)
class Outcome:
    """`label`: the word of an accepted input, the class of a refusal, or what is wrong, then with where (`trace`)."""

    kind: Literal["accepted", "refused", "finding"]
    label: str
    said: str = ""
    trace: str = ""

    @property
    def signature(self) -> str:
        """Like outcomes have equal ones: numbers, quoted words and keys of the input do not count."""
        return f"{self.label} {re.sub(r'[0-9]+|[^ -~]+', '#', self.said)[-60:]} {self.trace}"


def judged(target: Target, run: Run, data: bytes) -> Outcome:
    """Runs one input. Only what ends the process gets past this."""
    clock = time.monotonic if target.waits else time.process_time
    began = clock()
    try:
        outcome = Outcome("accepted", run(data))
    except target.named as error:
        outcome = _named(error)
    except Exception as error:  # noqa: BLE001  # any other one is what is looked for
        outcome = Outcome("finding", f"unnamed {type(error).__name__}", str(error)[:MAX_MESSAGE], _where(error))
    taken_s = clock() - began
    if outcome.kind != "finding" and taken_s > target.limit_s:
        return Outcome("finding", f"slow: {taken_s:.1f} s for {len(data)} bytes", outcome.said)
    return outcome


def _named(error: Exception) -> Outcome:
    said = str(error)
    label = "/".join(filter(None, (type(error).__name__, getattr(error, "reason", ""))))
    if len(said) > MAX_MESSAGE:
        return Outcome("finding", f"{label} of {len(said)} characters", said[:MAX_MESSAGE], _where(error))
    if not said.isprintable() or not said:
        return Outcome("finding", f"{label} is not one plain line", said, _where(error))
    return Outcome("refused", label, said)


def _where(error: BaseException) -> str:
    """The last of our own lines, and the very last one."""
    frames = extract_tb(error.__traceback__)
    ours = [frame for frame in frames if re.search(r"/(pipelines|workers)/", frame.filename)]
    last = [*ours[-1:], *frames[-1:]]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(last))
