"""What goes wrong and when: drawn beforehand from a seed, so that the same seed breaks the same things again."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from random import Random

import psutil

from tests.benchmarks.bench import say
from tests.benchmarks.chaos_pool import ChaosPool

LASTS_S: Mapping[str, tuple[float, float]] = {
    "kill child": (0, 0),
    "kill worker": (0, 0),
    "kill engine": (0, 0),
    "kill broker": (0, 4),
    "kill store": (0, 6),
    "kill state": (0, 4),
    "cut broker": (0, 0),
    "cut store": (0, 0),
    "part broker": (1, 8),
    "part store": (1, 8),
    "hush broker": (1, 14),
    "hush store": (1, 14),
    "pause worker": (5, 60),
}
"""Every kind of fault, and between how many seconds and how many it lasts.

`kill` is SIGKILL; a server comes back after that time, workers and engines as soon as somebody sees. `cut`
breaks the connections, `part` new ones, too, `hush` lets them stand and passes nothing on. `pause` is SIGSTOP to a
worker and its children, also for longer than their messages stay hidden.
"""
KINDS: Sequence[str] = tuple(kind for kind in LASTS_S if kind != "kill state")
RABBIT_KINDS: Sequence[str] = tuple(LASTS_S)
"""The state store dies by itself where it is not the broker."""
OFTEN: Sequence[str] = ("kill child", "kill child", "cut broker", "cut store")


@dataclass(frozen=True, slots=True)
class Fault:
    """`which` picks one of several."""

    at_s: float
    kind: str
    lasts_s: float
    which: int

    def __str__(self) -> str:
        return f"{self.at_s:7.1f} s  {self.kind}{f' for {self.lasts_s:.1f} s' if self.lasts_s else ''}"


def drawn(
    seed: int,
    kinds: Sequence[str],
    *,
    every_s: float,
    length_s: float = math.inf,
    rounds: int | None = None,
    longest_s: float = math.inf,
) -> tuple[Fault, ...]:
    """The faults of so many seconds or rounds, one every `every_s` on average, in order of time.

    A round has each of `kinds` once, in an order of its own. Nothing lasts longer than `longest_s`, or beyond the end.
    """
    chance = Random(f"faults {seed}")  # to be repeated, not to be hard to guess
    free_s: dict[str, float] = {}
    at_s, faults = 0.0, []
    for _ in count() if rounds is None else range(rounds):
        for kind in chance.sample(kinds, len(kinds)):
            at_s += every_s * chance.uniform(0.5, 1.5)
            lasts_s, which = min(chance.uniform(*LASTS_S[kind]), longest_s), chance.randrange(1 << 16)
            part = part_of(kind)
            begins_s = max(at_s, free_s.get(part, 0.0))
            free_s[part] = begins_s + lasts_s + every_s / 2
            if begins_s < length_s:
                faults.append(Fault(begins_s, kind, min(lasts_s, length_s - begins_s), which))
        if at_s > length_s:
            break
    return tuple(sorted(faults, key=lambda fault: fault.at_s))


def part_of(kind: str) -> str:
    """What it befalls: no two faults are in one part at a time."""
    return "worker" if kind == "kill child" else kind.partition(" ")[2]


class Faults:
    """Lets them befall a pool, each at its time, and undoes what lasts."""

    def __init__(self, pool: ChaosPool, faults: Sequence[Fault]) -> None:
        self._pool = pool
        self._coming = list(faults)
        self._undoing: list[tuple[float, Callable[[], object]]] = []
        self._began = time.monotonic()
        self.done: Counter[str] = Counter()

    def step(self) -> None:
        """What is due by now."""
        now_s = time.monotonic() - self._began
        while self._coming and self._coming[0].at_s <= now_s:
            self._befall(self._coming.pop(0))
        for item in [due for due in self._undoing if due[0] <= now_s]:
            self._undoing.remove(item)
            item[1]()

    def over(self) -> bool:
        return not self._coming and not self._undoing

    def end(self) -> None:
        """Nothing more goes wrong, and nothing stays wrong."""
        self._coming.clear()
        for _, undo in self._undoing:
            undo()
        self._undoing.clear()

    def _befall(self, fault: Fault) -> None:
        verb, _, part = fault.kind.partition(" ")
        undo: Callable[[], object] | None
        match verb, part:
            case "kill", "broker" | "store" | "state":
                child = self._pool.server(part)
                child.kill()
                met, undo = f"pid {child.pid}", child.start
            case "kill", _:
                met, undo = self._killed(part, fault.which), None
            case "pause", _:
                met, undo = self._paused(fault.which)
            case _:
                wire = self._pool.wire if part == "broker" else self._pool.store_wire
                met = f"{getattr(wire, verb)()} connections"
                undo = None if verb == "cut" else wire.join
        self.done[fault.kind if met else f"{fault.kind}, none there"] += 1
        now_s = time.monotonic() - self._began
        say(f"  {time.strftime('%H:%M:%S')}  {fault}: {met or 'none there'}")
        if undo is not None:
            self._undoing.append((now_s + fault.lasts_s, undo))

    def _killed(self, part: str, which: int) -> str:
        pids = {
            "child": lambda: [
                one.pid for number in range(len(self._pool.workers)) for one in self._pool.forked(number)
            ],
            "worker": lambda: [worker.pid for worker in self._pool.workers],
            "engine": self._pool.engines,
        }[part]()
        if not pids:
            return ""
        pid = sorted(pids)[which % len(pids)]
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()
        return f"pid {pid}"

    def _paused(self, which: int) -> tuple[str, Callable[[], object] | None]:
        number = which % len(self._pool.workers)
        worker = self._pool.workers[number]
        stopped = []
        with suppress(psutil.NoSuchProcess):
            stopped = [psutil.Process(worker.pid), *self._pool.forked(number)]
        _tell(stopped, signal.SIGSTOP)
        return f"pid {worker.pid} and {len(stopped) - 1} children", lambda: _tell(stopped, signal.SIGCONT)


def _tell(processes: Sequence[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # psutil knows a pid that is another's now
            process.send_signal(what)
