"""Each checkpoint in a process of its own: its memory is its own, and so is its end."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

import numpy as np

from pipelines.comparison.report import Cost
from workers.comparison.running import Answers, Candidate, Memory, Native, Question, Running, Unusable, peak_memory
from workers.parenthood import end_with_parent

PORTION = 128
"""Items that one checkpoint answers before the other gets the same: what else the machine does falls on both."""
_P = ParamSpec("_P")
_T = TypeVar("_T")
_running: list[Running] = []
"""In the child: the one checkpoint that it holds."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one checkpoint said of every question, in order, and what that took."""

    scores: Sequence[Native]
    failed: dict[str, int]
    cost: Cost | None
    golden: tuple[str, ...] = ()


class Apart:
    """One checkpoint in its own process. Raises `Unusable`, also when the process dies."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, spawn, end_with_parent, (signal.SIGKILL,))

    def open(self) -> None:
        self._call(_open, self._candidate)

    def score(self, questions: Sequence[Question]) -> Answers:
        return self._call(_score, questions)

    def golden(self, path: Path) -> tuple[str, ...]:
        return self._call(_golden, path)

    def memory(self) -> Memory:
        return self._call(peak_memory)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _call(self, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        try:
            return self._pool.submit(function, *arguments, **named).result()
        except BrokenProcessPool:
            raise Unusable(f"{self._candidate.card.id}: its process died, perhaps for want of memory") from None


def run_both(
    old: Candidate,
    new: Candidate,
    questions: Sequence[Question],
    report: Callable[[str], None],
    *,
    golden: Path | None = None,
) -> tuple[Ran, Ran]:
    """Both on the same questions, in turns; the new one on the golden examples of this file, too."""
    with ExitStack() as stack:
        sides = [stack.enter_context(Apart(candidate)) for candidate in (old, new)]
        for side, candidate in zip(sides, (old, new), strict=True):
            report(f"loading {candidate.card.id} ({candidate.ref.digest[:12]}, {candidate.session})")
            side.open()
        findings = sides[1].golden(golden) if golden else ()
        answers = (Answers(), Answers())
        for start in range(0, len(questions), PORTION):
            portion = questions[start : start + PORTION]
            for side, so_far in zip(sides, answers, strict=True):
                so_far.add(side.score(portion))
            report(f"{len(answers[0].scores):,} of {len(questions):,} items scored by both")
        first, second = (
            _ran(so_far, side.memory(), candidate.max_batch)
            for so_far, side, candidate in zip(answers, sides, (old, new), strict=True)
        )
        return first, Ran(second.scores, second.failed, second.cost, findings)


def _ran(answers: Answers, memory: Memory, batch: int) -> Ran:
    return Ran(answers.scores, dict(Counter(answers.failed)), cost_of(answers, memory, batch))


def cost_of(answers: Answers, memory: Memory, batch: int) -> Cost | None:
    """None where nothing was answered."""
    items = sum(size for size, _ in answers.batches)
    if not items or not answers.alone_s:
        return None
    middle, slow = np.quantile(np.array(answers.alone_s), [0.5, 0.95])
    return Cost(
        items=items,
        batch=batch,
        p50_ms=round(1000 * float(middle), 3),
        p95_ms=round(1000 * float(slow), 3),
        seconds_per_item=round(sum(seconds for _, seconds in answers.batches) / items, 6),
        memory_mb=None if memory.main_mb is None else round(memory.main_mb, 1),
        device_memory_mb=None if memory.device_mb is None else round(memory.device_mb, 1),
    )


def _open(candidate: Candidate) -> None:
    _running[:] = [Running(candidate)]


def _score(questions: Sequence[Question]) -> Answers:
    return _running[0].score(questions)


def _golden(path: Path) -> tuple[str, ...]:
    return _running[0].golden(path)
