"""A process whose loop stands still is ended from outside of the interpreter."""

from __future__ import annotations

import subprocess
import sys

from workers.watchdog import STUCK_EXIT_CODE


def ended(*steps: str) -> subprocess.CompletedProcess[str]:
    program = "\n".join(
        ("import ctypes", "from workers.watchdog import Watchdog", "held_up = ctypes.PyDLL(None).usleep", *steps)
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_a_loop_that_a_library_holds_up_ends_with_the_places_it_was_at() -> None:
    done = ended("Watchdog(0.2).alive()", "held_up(30_000_000)")
    assert done.returncode == STUCK_EXIT_CODE
    assert done.stderr.startswith("Timeout")


def test_a_loop_that_goes_round_goes_on() -> None:
    done = ended("dog = Watchdog(1)", "for _ in range(12): dog.alive(); held_up(100_000)")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_loop_that_rests_may_stand_still() -> None:
    done = ended("dog = Watchdog(0.2)", "dog.alive()", "dog.rest()", "held_up(500_000)")
    assert (done.returncode, done.stderr) == (0, "")
