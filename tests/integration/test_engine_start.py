"""A worker and the engine that it starts, when the engine cannot start: real processes, real broker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from workers.app import make_app
from workers.config import Config
from workers.engine.bootstep import START_FAILED_EXIT_CODE, EngineStep
from workers.stack.connection import environment_of


@pytest.fixture
def hopeless(config: Config, state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Settings, also in the environment, whose engine cannot store its checkpoints: their folder is a file."""
    taken = state_directory / "models"
    taken.touch()
    for name, value in {**environment_of(config), "LIVERISK__MODELS_DIRECTORY": str(taken)}.items():
        monkeypatch.setenv(name, value)
    return config.model_copy(update={"models_directory": taken})


def test_an_engine_that_cannot_start_is_given_up_with_its_exit_code(
    hopeless: Config, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(hopeless)
    step = EngineStep(SimpleNamespace(app=app))
    try:
        with pytest.raises(SystemExit) as ended:
            step.start(None)
    finally:
        step.stop(None)
    assert ended.value.code == app.liverisk_exit_code == START_FAILED_EXIT_CODE
    assert "the engine ended 2 times before it was ready, with exit code 3" in caplog.records[-1].getMessage()


def test_a_worker_whose_engine_cannot_start_ends_without_a_traceback(hopeless: Config) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers", "worker", "--concurrency=1"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 3
    assert "worker ends: the engine ended 2 times" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Unrecoverable" not in done.stderr
