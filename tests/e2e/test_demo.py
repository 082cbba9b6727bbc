"""`liverisk demo` for real: its own broker, store, engine and worker, every model on its real weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 1500
"""The first run on a machine builds the checkpoints too."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one run of the demo printed."""
    done = subprocess.run(
        [sys.executable, "-m", "workers", "demo", "--json"],
        cwd=tmp_path_factory.mktemp("demo"),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_the_demo_finds_what_was_planted_and_raises_nothing_benign(demo: dict[str, Any]) -> None:
    assert demo["not_as_planted"] == []
    assert {"scam", "drugs", "self_harm"} <= {row["policy"] for row in demo["rows"]}


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_every_ten_seconds_of_the_demo_have_a_record_that_was_wholly_examined(demo: dict[str, Any]) -> None:
    assert demo["pace"]["segments"] == 38
    assert demo["coverage"][-1] == "nothing was left unexamined"


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_the_demo_shows_the_scam_in_chat_on_screen_and_in_speech(demo: dict[str, Any]) -> None:
    seen = " ".join(line for row in demo["rows"] if row["policy"] == "scam" for line in row["seen"])
    assert all(modality in seen for modality in ("chat", "screen", "speech"))


@pytest.mark.timeout(TIMEOUT_S + 60)
def test_the_demo_leaves_nothing_behind(demo: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    places: list[Path] = [path for path in tmp_path_factory.getbasetemp().glob("demo*") if any(path.iterdir())]
    assert demo["state"] is None
    assert places == []
