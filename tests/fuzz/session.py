"""One process that throws inputs at one target, in one way, until its time is up; others can see what it is at.

    python -m tests.fuzz.session TARGET WAY SECONDS SEED FOLDER

In the folder it leaves `result.json`, each kind of finding as a file, and `input`, where the input at hand stands while
it runs: that is what a process died or hangs of. Ways: `mutated` changes valid inputs and goes on from those that got a
new answer, `shaped` draws documents with hypothesis, `guided` lets atheris look for lines of code not seen before.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import logging
import mmap
import os
import random
import re
import resource
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

from tests.fuzz.judging import Outcome, Run, Target, judged
from tests.fuzz.mutations import MAX_BYTES, mutated

HEAD = struct.Struct("<QdI")
"""Of `input`: inputs so far, when this one began by the monotonic clock (0: none is at hand), and its length."""
SPARE_BYTES = 3 << 30
"""Of address space, beyond what the process starts with; then Python says `MemoryError`."""
REPORT_S = 2.0
POOL = 400
MOST_FINDINGS = 40
TRIES = 300
INSTRUMENTED = ["pipelines", "workers", "yaml", "json"]


class AtHand:
    """The file `input`, shared with whoever watches."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(HEAD.size + MAX_BYTES)
            self._map = mmap.mmap(file.fileno(), HEAD.size + MAX_BYTES)

    def begin(self, count: int, data: bytes) -> None:
        length = min(len(data), MAX_BYTES)
        self._map[HEAD.size : HEAD.size + length] = data[:length]
        HEAD.pack_into(self._map, 0, count, time.monotonic(), length)

    def end(self, count: int) -> None:
        HEAD.pack_into(self._map, 0, count, 0.0, 0)


def at_hand(path: Path) -> tuple[int, float, bytes]:
    """Inputs so far, for how many seconds the one at hand runs, and that input; 0 and nothing between two."""
    content = path.read_bytes()
    count, began, length = HEAD.unpack_from(content)
    return count, time.monotonic() - began if began else 0.0, content[HEAD.size : HEAD.size + length]


class Session:
    """Counts what came of every input, and keeps what must not have come."""

    def __init__(self, target: Target, run: Run, folder: Path, until: float) -> None:
        self._target, self._run, self._folder, self.until = target, run, folder, until
        self._began = self._reported = time.monotonic()
        self._count = 0
        self._labels: Counter[str] = Counter()
        self._known: set[str] = set()
        self._at_hand = AtHand(folder / "input")

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until

    def one(self, data: bytes) -> bool:
        """Runs one input; whether its answer is one that no input got before."""
        self._at_hand.begin(self._count, data)
        outcome = judged(self._target, self._run, data)
        self._count += 1
        self._at_hand.end(self._count)
        self._labels[f"{outcome.kind} {outcome.label}"] += 1
        new = outcome.signature not in self._known
        self._known.add(outcome.signature)
        if new and outcome.kind == "finding":
            self._keep(outcome, data)
        if time.monotonic() - self._reported > REPORT_S:
            self.report()
        return new

    def report(self) -> None:
        self._reported = time.monotonic()
        media = sys.modules.get("tests.fuzz.media")
        result = {
            "seconds": self._reported - self._began,
            "labels": dict(self._labels),
            "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            "helpers": dict(media.HELPERS) if media else {},
        }
        partial = self._folder / "result.partial"
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.replace(self._folder / "result.json")

    def _keep(self, outcome: Outcome, data: bytes) -> None:
        if len(list(self._folder.glob("finding-*.bin"))) < MOST_FINDINGS:
            keep(self._folder, outcome.label, self._smaller(outcome, data), f"{outcome.said}\n{outcome.trace}\n")

    def _smaller(self, outcome: Outcome, data: bytes) -> bytes:
        """The input without pieces that the finding does without, as far as some tries get."""
        size, tries = len(data) // 2, 0
        while size and tries < TRIES and not outcome.label.startswith("slow"):
            at = 0
            while at < len(data) and tries < TRIES:
                shorter = data[:at] + data[at + size :]
                tries += 1
                if judged(self._target, self._run, shorter).signature == outcome.signature:
                    data = shorter
                else:
                    at += size
            size //= 2
        return data


def keep(folder: Path, label: str, data: bytes, words: str) -> None:
    """Writes a finding: the input, and beside it what was wrong."""
    name = f"finding-{re.sub('[^A-Za-z]+', '-', label)[:40].strip('-')}-{hashlib.sha256(data).hexdigest()[:8]}"
    (folder / f"{name}.bin").write_bytes(data)
    (folder / f"{name}.txt").write_text(f"{label}\n{words}", encoding="utf-8", errors="backslashreplace")


def by_mutation(session: Session, target: Target, seed: int) -> None:
    dice = random.Random(seed)
    pool = target.seeds()
    for one in pool:
        session.one(one)
    while not session.over:
        data = mutated(dice, dice.choice(pool), pool)
        if session.one(data) and len(pool) < POOL:
            pool.append(data)


def by_shape(session: Session, target: Target, seed: int) -> None:
    assert target.shaped is not None
    strategy = target.shaped()
    quiet = settings(
        max_examples=200, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    while not session.over:
        seed += 1

        @seeded(seed)
        @quiet
        @given(strategy)
        def look(data: bytes) -> None:
            if not session.over:
                session.one(data)

        look()


def by_guidance(session: Session, target: Target, seed: int, folder: Path) -> None:
    """Never returns: the library underneath ends the process."""
    import atheris

    seeds = target.seeds()
    corpus = folder / "seen"
    corpus.mkdir(exist_ok=True)
    for number, one in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(one)

    def look(data: bytes) -> None:
        session.one(data)
        if session.over:
            session.report()
            os._exit(0)

    def changed(data: bytes, most: int, number: int) -> bytes:
        dice = random.Random(number)
        return bytes(atheris.Mutate(data, most)) if dice.random() < 0.5 else mutated(dice, data, seeds)[:most]

    options = [f"-seed={seed}", f"-max_len={MAX_BYTES}", "-rss_limit_mb=0", f"-artifact_prefix={folder}/"]
    options += ["-timeout=1000000", "-print_final_stats=0"]  # who watches this process ends it
    atheris.Setup(["fuzz", *options, str(corpus)], look, custom_mutator=changed)
    atheris.Fuzz()


def _targets(way: str) -> Any:
    """The targets, their code made to tell where it goes when somebody listens."""
    if way != "guided":
        return importlib.import_module("tests.fuzz.targets")
    import atheris

    with atheris.instrument_imports(include=INSTRUMENTED):
        return importlib.import_module("tests.fuzz.targets")


def _within(spare: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))


WAYS: dict[str, Callable[[Session, Target, int], None]] = {"mutated": by_mutation, "shaped": by_shape}


def main(name: str, way: str, seconds: str, seed: str, folder: str) -> None:
    logging.disable(logging.CRITICAL)
    target: Target = _targets(way).TARGETS[name]
    with target.opened() as run:
        if not target.waits:
            judged(target, run, target.seeds()[0])  # what it makes once is made
            _within(SPARE_BYTES)
        session = Session(target, run, Path(folder), time.monotonic() + float(seconds))
        if way == "guided":
            by_guidance(session, target, int(seed), Path(folder))
        WAYS[way](session, target, int(seed))
        session.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
