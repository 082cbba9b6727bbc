"""How much processor time one fixed piece of work takes while a proof runs.

The cores of a shared machine are half as fast again at one minute as at the next, so what is measured minutes apart is
comparable only beside what was measured at the same time.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

from workers.parenthood import end_with_parent

STEPS = 50_000
PAUSE_S = 0.25


class Yardstick:
    """What the process that works it has written so far."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def unit_s(self, since: float, until: float) -> float:
        """Mean processor seconds of the piece between two moments of the monotonic clock; `ValueError` without any."""
        lines = (line.split() for line in self._log.read_text(encoding="ascii").splitlines())
        return mean(float(seconds) for at, seconds in lines if since <= float(at) <= until)


@contextmanager
def yardstick() -> Iterator[Yardstick]:
    """Worked in a process of its own until the block ends."""
    with TemporaryDirectory() as directory:
        log = Path(directory) / "yardstick"
        log.touch()
        working = subprocess.Popen([sys.executable, "-m", __name__, str(log)])
        try:
            yield Yardstick(log)
        finally:
            working.kill()
            working.wait()


def main() -> None:
    end_with_parent(signal.SIGKILL)
    with Path(sys.argv[1]).open("a", encoding="ascii") as log:
        while True:
            began = time.process_time()
            sum(step * step for step in range(STEPS))
            log.write(f"{time.monotonic():.3f} {time.process_time() - began:.6f}\n")
            log.flush()
            time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
