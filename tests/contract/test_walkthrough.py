"""The worked example of model_cards/README.md, run as it stands there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cards import CARDS_DIRECTORY
from workers.cli.main import cli

README = CARDS_DIRECTORY / "README.md"
BLOCK = re.compile(r"^(?P<fence>`{3,4})(?P<language>\w+)\n(?P<content>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)
CARD_PATH = re.compile(r"`(model_cards/[\w-]+/README\.md)`")


def blocks() -> Iterator[tuple[str, str]]:
    """Language and content of each fenced block, in order. All of them belong to the example."""
    return ((found["language"], found["content"]) for found in BLOCK.finditer(README.read_text(encoding="utf-8")))


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folders = {name: str(tmp_path / name) for name in ("model_cards", "models")}
    settings = {"cards_directory": folders["model_cards"], "models_directory": folders["models"]}
    (tmp_path / "liverisk.yaml").write_text(json.dumps(settings))
    return tmp_path


def typed(line: str) -> None:
    program, *arguments = line.removeprefix("$ ").split()
    assert program == "liverisk"
    done = CliRunner().invoke(cli, ["--config", "liverisk.yaml", *arguments])
    assert (done.exit_code, done.stderr) == (0, "")


def test_the_worked_example_brings_a_checkpoint_from_its_folder_to_its_scores(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place,) = CARD_PATH.findall(README.read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    done: list[str] = []
    for language, content in blocks():
        done.append(language)
        if language == "python":
            exec(compile(content, str(README), "exec"), names)  # the example is what is tested
        elif language == "markdown":
            (workplace / place).write_text(content, encoding="utf-8")
        elif language == "console":
            for line in content.splitlines():
                typed(line)
    assert done == ["python", "markdown", "python", "console", "python", "sh"]
    assert "lure" in capsys.readouterr().out
    assert json.loads((workplace / "model_cards" / "models.lock.json").read_text())["checkpoints"].keys() == {
        Path(place).parent.name
    }


def test_the_commands_for_the_running_pool_are_ones_that_liverisk_takes() -> None:
    lines = [line for language, content in blocks() if language == "sh" for line in content.splitlines()]
    taken = CliRunner().invoke(cli, ["models", "--help"]).stdout
    assert lines
    for line in lines:
        program, group, command, *_ = line.split()
        assert (program, group) == ("liverisk", "models")
        assert re.search(rf"^  {command}\s", taken, re.MULTILINE), command
