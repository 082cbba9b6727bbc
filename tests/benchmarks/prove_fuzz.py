"""Throws hostile inputs at everything that reads what others wrote; ends with 3 when one gets what no input must get.

    python -m tests.benchmarks.prove_fuzz --minutes 5 --target card --target image

Every input must end as a value, or as the named error of its entry point in one short line, within its time and memory;
no process may die or hang of it. A native decoder that dies in its helper is a named refusal, and is counted. What is
found lies in the folder of findings, each as its input and a few words; fixed, the input moves to tests/fuzz/corpus.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from tests.fuzz.judging import Target
from tests.fuzz.session import at_hand, keep
from tests.fuzz.targets import TARGETS

HANGS_S = 60.0
"""Beyond a target's own limit; an input that takes longer ends its process."""
LOOK_S = 0.5
START_S = 180.0
MOST_DEATHS = 20
"""Of one way of one target; then the rest of its time is not worth having."""


@dataclass
class Found:
    """What came of one target, over all its ways."""

    name: str
    seconds: float = 0.0
    labels: Counter[str] = field(default_factory=Counter)
    helpers: Counter[str] = field(default_factory=Counter)
    megabytes: int = 0
    deaths: int = 0

    def add(self, folder: Path) -> float:
        """Counts what a process wrote; its seconds."""
        try:
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        except OSError:
            return 0.0
        (folder / "result.json").unlink()
        self.seconds += result["seconds"]
        self.labels.update(result["labels"])
        self.helpers.update(result["helpers"])
        self.megabytes = max(self.megabytes, result["megabytes"])
        return float(result["seconds"])

    @property
    def findings(self) -> int:
        return self._count("finding") + self.deaths

    def _count(self, kind: str) -> int:
        return sum(count for label, count in self.labels.items() if label.startswith(kind))

    def line(self) -> str:
        done = self.labels.total()
        answers = ", ".join(f"{label.partition(' ')[2]} {count}" for label, count in self.labels.most_common())
        helpers = ", ".join(f"{what} {count}" for what, count in self.helpers.most_common())
        return (
            f"{self.name:<17}{done:>10}{self.seconds:>9.0f}{done / max(self.seconds, 0.1):>9.0f}"
            f"{self._count('accepted'):>10}{self._count('refused'):>10}{self.findings:>10}{self.megabytes:>7}  "
            + answers
            + (f"; helpers: {helpers}" if helpers else "")
        )


def ways(target: Target) -> list[str]:
    guided = ["guided"] if target.guided and find_spec("atheris") else []
    return ["mutated", *(["shaped"] if target.shaped else []), *guided]


def fuzzed(target: Target, *, seconds: float, seed: int, folder: Path) -> Found:
    """All ways of one target, one after the other; a process that dies or hangs is a finding, and another goes on."""
    found = Found(target.name)
    each = seconds / len(ways(target))
    for way in ways(target):
        here = folder / target.name / way
        here.mkdir(parents=True, exist_ok=True)
        left, deaths = each, 0
        while left > 1 and deaths < MOST_DEATHS:
            died_of = _session(target, way, left, seed + deaths, here)
            left -= max(found.add(here), 1.0)
            if died_of is None:
                break
            deaths += 1
        found.deaths += deaths
    return found


def _session(target: Target, way: str, seconds: float, seed: int, folder: Path) -> str | None:
    """One process to its end; what it died of, None when it came to its end by itself."""
    (folder / "input").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.fuzz.session", target.name, way, f"{seconds:.1f}", str(seed), str(folder)]
    with (folder / "words").open("wb") as words:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
    limit_s, began = target.limit_s + HANGS_S, time.monotonic()
    while process.poll() is None:
        time.sleep(LOOK_S)
        runs_s = _runs_s(folder)
        if runs_s > limit_s or (runs_s < 0 and time.monotonic() - began > START_S):
            process.kill()
            process.wait()
            return _died(folder, f"hang: killed after {runs_s:.0f} s")
    if process.returncode == 0:
        return None
    code = process.returncode
    return _died(folder, f"died: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}")


def _runs_s(folder: Path) -> float:
    """For how long the input at hand has run; below 0 while the process starts."""
    try:
        return at_hand(folder / "input")[1]
    except OSError:
        return -1.0


def _died(folder: Path, how: str) -> str:
    try:
        data = at_hand(folder / "input")[2]
    except OSError:
        data = b""
    words = (folder / "words").read_bytes()[-2000:].decode("utf-8", "replace")
    keep(folder, how, data, words)
    return how


def findings_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("finding-*.txt")):
        said = path.read_text(encoding="utf-8", errors="replace").splitlines()
        yield f"{path.relative_to(folder).with_suffix('.bin')}: {' | '.join(said[:3])[:300]}"


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="prove_fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="for each target (5)")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (one a core)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run, as far as the clock allows")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="where findings go (build/fuzz)")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] = ()) -> int:
    options = _options(arguments)
    chosen = [TARGETS[name] for name in options.target or TARGETS]
    folder = options.findings / time.strftime("%Y%m%dT%H%M%S")
    guided = "with" if find_spec("atheris") else "without atheris, so without"
    sys.stdout.write(f"seed {options.seed}, {options.minutes:g} minutes each, {guided} guidance by coverage\n")
    sys.stdout.write(f"{'target':<17}{'inputs':>10}{'seconds':>9}{'a second':>9}")
    sys.stdout.write(f"{'accepted':>10}{'refused':>10}{'findings':>10}{'MB':>7}\n")
    one = partial(fuzzed, seconds=60 * options.minutes, seed=options.seed, folder=folder)
    results: list[Found] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(one, chosen):
            results.append(found)
            sys.stdout.write(found.line() + "\n")
            sys.stdout.flush()
    total = sum(found.labels.total() for found in results)
    sys.stdout.write(f"{total} inputs, {sum(found.findings for found in results)} findings\n")
    sys.stdout.write("".join(f"FAILED {line}\n" for line in findings_in(folder)))
    return 3 if any(found.findings for found in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
