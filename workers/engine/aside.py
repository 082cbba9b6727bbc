"""Work that gives way to those who answer: in one thread of lower priority.

Whatever threads that thread starts have its priority for good (sched(7), "The nice value"), and only a privileged
process may raise it again. So only work belongs here that leaves no threads behind.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

NICER = 5
"""A third of the time that a thread of usual priority gets when all cores are taken; all of it when they are not."""
ResultT = TypeVar("ResultT")


class Aside:
    """The thread starts with the first work and ends with the process: what libraries keep for it is kept once."""

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def __call__(self, work: Callable[[], ResultT]) -> ResultT:
        """What `work` returns or raises, once it is done. One caller at a time."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="aside", daemon=True)
            self._thread.start()
        answer: Future[ResultT] = Future()
        self._work.put(partial(_answered, work, answer))
        try:
            return answer.result()
        finally:
            del answer  # an error's traceback would keep it, and it the error

    def _run(self) -> None:
        step_back()
        while True:
            self._work.get()()  # no name holds on to what it made


def step_back() -> None:
    """Lowers the priority of the calling thread where threads have one of their own: on Linux."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICER)


def _answered(work: Callable[[], ResultT], answer: Future[ResultT]) -> None:
    try:
        answer.set_result(work())
    except BaseException as error:  # noqa: BLE001  # it is raised where the answer is waited for
        answer.set_exception(error)
    del work, answer
