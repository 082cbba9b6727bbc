"""How processes of bulk work lower themselves, each tried in a process of its own: nobody can raise itself again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workers.giving_way import session_niceness

GROUPED = pytest.mark.skipif(session_niceness() is None, reason="this kernel does not group processes by session")
TELL = "import os; from workers.giving_way import *; {}(); print(os.nice(0), session_niceness())"


def niceness_after(function: str, *, leader: bool) -> list[str]:
    """Of the process and of its session."""
    done = subprocess.run(
        [sys.executable, "-c", TELL.format(function)],
        start_new_session=leader,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_process_that_gives_way_is_nice() -> None:
    own, _ = niceness_after("give_way", leader=True)
    assert own == "10"


@GROUPED
def test_a_session_gives_way_with_its_leader() -> None:
    assert niceness_after("let_session_give_way", leader=True) == ["0", "10"]


@GROUPED
def test_somebody_elses_session_is_left_alone() -> None:
    assert niceness_after("give_way", leader=False) == ["10", str(session_niceness())]
