"""Loading gives way to those who answer."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from workers.engine.aside import NICER, Aside


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
def test_work_aside_has_a_lower_priority_and_whoever_waits_for_it_keeps_theirs() -> None:
    before = niceness()
    assert Aside()(niceness) == min(19, before + NICER)
    assert niceness() == before


def test_all_work_is_done_in_one_thread() -> None:
    aside = Aside()
    assert aside(threading.get_ident) == aside(threading.get_ident) != threading.get_ident()


def test_what_the_work_raises_is_raised_to_whoever_asked_and_the_next_work_is_done() -> None:
    aside = Aside()
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 // 0)
    assert aside(lambda: "done") == "done"
