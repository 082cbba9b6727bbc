"""Workers know what a checkpoint's labels mean, also of one that came after they started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import Cards
from workers.labels import Labels


def test_a_card_that_comes_while_a_worker_runs_is_known_when_its_checkpoint_speaks(tmp_path: Path) -> None:
    cards = Cards(tmp_path)
    cards.card("one")
    labels = Labels(tmp_path)
    assert "two" not in labels
    cards.card("two", labels={"risky": {"policies": ["scam"]}})
    assert labels["two"]["risky"].policies == ("scam",)
    assert set(labels) == {"one", "two"}


def test_a_card_that_cannot_be_read_counts_as_missing(tmp_path: Path) -> None:
    labels = Labels(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "README.md").write_text("no front matter")
    assert "broken" not in labels
    with pytest.raises(KeyError):
        labels["broken"]
