"""The hub's real client against a hub on loopback: revisions, allowed files, the lock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.checkpoints import CheckpointError, Lock, ensure
from tests.checkpoints import CHANGED, FILES, Cards, pins
from tests.hub import FIRST_COMMIT, REPOSITORY, SECOND_COMMIT, Hub, running


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with running({**FILES, "optimizer.pt": b"not wanted", "README.md": b"not wanted"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        yield hub


def source(**fields: Any) -> list[dict[str, Any]]:
    return [{"hub": REPOSITORY, "allow": ["config.json", "*.safetensors"], **fields}]


def test_a_first_pull_locks_the_revision_and_every_file(hub: Hub, cards: Cards, models: Path) -> None:
    checkpoint = ensure(cards.card(sources=source()), models)
    entry = Lock(cards.directory / "models.lock.json").entry("tiny")
    assert entry is not None
    assert (entry.source, entry.revision, entry.files) == (f"hub {REPOSITORY}", FIRST_COMMIT, pins())
    assert sorted(path.name for path in checkpoint.folder.rglob("*")) == sorted(FILES)


def test_a_later_pull_takes_the_locked_revision(hub: Hub, cards: Cards, models: Path, tmp_path: Path) -> None:
    card = cards.card(sources=source())
    first = ensure(card, models)
    hub.push(SECOND_COMMIT, CHANGED)
    assert ensure(card, tmp_path / "elsewhere").digest == first.digest


def test_changed_bytes_under_a_locked_revision_are_refused(
    hub: Hub, cards: Cards, models: Path, tmp_path: Path
) -> None:
    card = cards.card(sources=source())
    ensure(card, models)
    hub.push(FIRST_COMMIT, CHANGED)
    with pytest.raises(CheckpointError, match=r"^tiny: hub somebody/tiny gave [^\n]*model\.safetensors: has sha256"):
        ensure(card, tmp_path / "elsewhere")


def test_the_cards_own_revision_is_taken(hub: Hub, cards: Cards, models: Path) -> None:
    hub.push(SECOND_COMMIT, CHANGED)
    card = cards.card(sources=source(revision=FIRST_COMMIT), files=pins())
    assert ensure(card, models).folder.is_dir()


def test_an_allowed_pickle_is_refused_all_the_same(hub: Hub, cards: Cards, models: Path) -> None:
    card = cards.card(sources=source(allow=["config.json", "*.safetensors", "*.pt"]))
    with pytest.raises(CheckpointError, match=r"optimizer\.pt: is not an allowed kind of file"):
        ensure(card, models)


def test_an_absent_file_is_named_by_its_pattern(hub: Hub, cards: Cards, models: Path) -> None:
    card = cards.card(sources=source(allow=["config.json", "*.safetensors", "tokenizer.json"]))
    with pytest.raises(CheckpointError, match=r"somebody/tiny holds no file like tokenizer\.json"):
        ensure(card, models)


def test_an_unknown_repository_is_one_line(hub: Hub, cards: Cards, models: Path) -> None:
    card = cards.card(sources=[{"hub": "nobody/nothing", "allow": ["*"]}])
    with pytest.raises(CheckpointError, match=r"^tiny: nobody/nothing: the hub could not be read \(\w+\)$"):
        ensure(card, models)
