"""A worker and the engine that it starts, when the engine cannot start: real processes, real broker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from workers.config import Config
from workers.engine.bootstep import START_FAILED_EXIT_CODE
from workers.stack.connection import environment_of


def test_a_worker_whose_engine_cannot_start_gives_it_up_with_its_exit_code_and_without_a_traceback(
    config: Config, state_directory: Path
) -> None:
    taken = state_directory / "models"
    taken.touch()  # an engine cannot store its checkpoints where there is a file
    done = subprocess.run(
        [sys.executable, "-m", "workers", "worker", "--concurrency=1"],
        env={**os.environ, **environment_of(config), "LIVERISK__MODELS_DIRECTORY": str(taken)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == START_FAILED_EXIT_CODE
    assert "worker ends: the engine ended 2 times before it was ready, with exit code 3" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Unrecoverable" not in done.stderr
