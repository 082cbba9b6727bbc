"""What processes have cost: processor time and memory, over whole trees."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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


def cpu_s(roots: Iterable[int]) -> float:
    """Seconds of processor time so far, of those that ended and were waited for, too."""
    total = 0.0
    for process in tree(roots):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_mib(roots: Iterable[int]) -> float:
    """Proportional set size: a page that several share counts once in all."""
    total = 0
    for process in tree(roots):
        with suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total / (1 << 20)
