"""What processes have cost: processor time and memory, over whole trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

import psutil


def tree(roots: Iterable[int]) -> Iterator[psutil.Process]:
    """These processes and all below them, each once."""
    seen: set[int] = set()
    for root in roots:
        with suppress(psutil.Error):
            process = psutil.Process(root)
            for one in (process, *process.children(recursive=True)):
                if one.pid not in seen:
                    seen.add(one.pid)
                    yield one


Roots = Mapping[str, int]
"""Part of a contender -> the process that everything of this part descends from."""


def cpu_s(roots: Roots) -> dict[str, float]:
    """Seconds of processor time so far of each part, of processes that ended and were waited for, too."""
    return {name: sum(map(_cpu_s, tree([root]))) for name, root in roots.items()}


def memory_mib(roots: Roots) -> dict[str, float]:
    """Proportional set size of each part: a page that several share counts once in all."""
    return {name: sum(map(_pss_bytes, tree([root]))) / (1 << 20) for name, root in roots.items()}


def _cpu_s(process: psutil.Process) -> float:
    with suppress(psutil.Error):
        times = process.cpu_times()
        return float(times.user + times.system + times.children_user + times.children_system)
    return 0.0


def _pss_bytes(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_full_info().pss)
    return 0
