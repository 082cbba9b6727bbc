"""A contender in a process of its own: segments go in and moments come out, a line of JSON each.

The child's own output goes to its log, so that no library's greeting is taken for an answer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipelines.manifest import SegmentManifest, parse_manifest
from workers.bench.contender import ContenderFailed
from workers.bench.costs import Roots
from workers.parenthood import end_with_parent

READY = "ready"
NOTHING_BESIDE: Roots = {}
Examine = Callable[[SegmentManifest], None]


def serve(examine: Examine, *, lanes: int, replies: TextIO) -> None:
    """In the child: says that it is ready, then plays what it is told until its input ends."""
    _say(replies, READY)
    with ThreadPoolExecutor(lanes, thread_name_prefix="lane") as pool:
        for line in sys.stdin:
            asked = json.loads(line)
            segments = [parse_manifest(one) for one in asked["segments"]]
            _say(replies, _played(examine, segments, asked["at_s"], pool))


def own_replies() -> TextIO:
    """In the child, before anything else is imported: where answers go. What is printed goes to the log from now on."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return replies


def _played(
    examine: Examine, segments: Sequence[SegmentManifest], at_s: Sequence[float], pool: ThreadPoolExecutor
) -> list[float]:
    began = time.monotonic()

    def one(segment: SegmentManifest) -> float:
        examine(segment)
        return time.monotonic() - began

    running = []
    for segment, moment in zip(segments, at_s, strict=True):
        time.sleep(max(0.0, moment - (time.monotonic() - began)))
        running.append(pool.submit(one, segment))
    return [future.result() for future in running]


def _say(replies: TextIO, answer: object) -> None:
    replies.write(json.dumps(answer) + "\n")
    replies.flush()


class Player:
    """The parent's side."""

    def __init__(self, process: subprocess.Popen[str], log: Path, beside: Roots) -> None:
        """`beside`: roots of other processes that belong to the contender."""
        self._process = process
        self._log = log
        self._beside = beside

    def roots(self) -> Roots:
        return {"process": self._process.pid, **self._beside}

    def play(self, segments: Sequence[SegmentManifest], at_s: Sequence[float]) -> list[float]:
        assert self._process.stdin is not None
        asked = {"segments": [segment.as_message() for segment in segments], "at_s": list(at_s)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self.answer()
        if not isinstance(answer, list):
            raise ContenderFailed(f"unexpected answer; its log: {self._log}")
        return [float(moment) for moment in answer]

    def answer(self) -> object:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContenderFailed(f"ended with {self._process.wait()}; its log: {self._log}")
        return json.loads(line)


@contextmanager
def playing(
    command: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None, beside: Roots = NOTHING_BESIDE
) -> Iterator[Player]:
    """The child, ready; ended with the block. Its input closes first, so that it can end what it started."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=_end_with_parent,  # prctl only: takes no lock
        )
    try:
        player = Player(process, log, beside)
        if player.answer() != READY:
            raise ContenderFailed(f"not ready; its log: {log}")
        yield player
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        process.stdout.close()


def _end_with_parent() -> None:
    end_with_parent(signal.SIGKILL)
