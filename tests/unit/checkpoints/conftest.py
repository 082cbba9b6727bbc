from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import Cards


@pytest.fixture
def cards(tmp_path: Path) -> Cards:
    return Cards(tmp_path / "cards")


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"
