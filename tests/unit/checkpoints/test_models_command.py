"""`liverisk models` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from tests.checkpoints import FILES, Cards, pins, write_files
from workers.cli.main import cli


@pytest.fixture
def settings(tmp_path: Path, cards: Cards, models: Path) -> Path:
    cards.directory.mkdir()
    path = tmp_path / "liverisk.yaml"
    content = {"cards_directory": str(cards.directory), "models_directory": str(models)}
    path.write_text(yaml.safe_dump(content))
    return path


def run(settings: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--config", str(settings), "models", *arguments])


def test_list_shows_how_each_checkpoint_stands(settings: Path, cards: Cards, models: Path) -> None:
    for name, files in {"ready": FILES, "damaged": {**FILES, "config.json": b"{}"}}.items():
        cards.card(name, files=pins())
        write_files(models / name, files)
    cards.card("absent", files=pins())
    cards.card("unpinned")
    write_files(models / "unpinned", FILES)
    listed = [json.loads(line) for line in run(settings, "list", "--json").stdout.splitlines()]
    assert {row["id"]: row["state"] for row in listed} == {
        "ready": "ready",
        "damaged": "damaged",
        "absent": "not pulled",
        "unpinned": "unverified",
    }


def test_list_is_a_table_for_people(settings: Path, cards: Cards) -> None:
    cards.card()
    result = run(settings, "list")
    assert result.stdout.splitlines()[0].split() == ["ID", "SLOTS", "KIND", "LICENCE", "STATE", "SIZE"]
    assert "tiny  vision.nudity  image-classification  mit" in result.stdout


def test_list_of_a_slot_that_nothing_fills_finds_nothing(settings: Path, cards: Cards) -> None:
    cards.card()
    result = run(settings, "list", "--slot", "speech")
    assert (result.exit_code, result.stderr) == (1, "liverisk: no card fills the slot speech\n")


def test_show_prints_the_card(settings: Path, cards: Cards) -> None:
    cards.card()
    shown = run(settings, "show", "tiny").stdout
    assert "state: not pulled" in shown
    assert "\n# tiny\n" in shown


def test_show_of_an_unknown_checkpoint_finds_nothing(settings: Path) -> None:
    result = run(settings, "show", "nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("liverisk: no card named nothing in ")


def test_pull_tells_what_it_does_and_where_the_checkpoint_is(settings: Path, cards: Cards, models: Path) -> None:
    cards.finished()
    cards.card(files=pins())
    result = run(settings, "pull", "tiny")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "tiny: getting folder finished"
    assert lines[-1].startswith(f"tiny: {models / 'tiny'} (")


def test_pull_goes_on_after_a_failure_and_ends_with_it(settings: Path, cards: Cards, models: Path) -> None:
    cards.card("bad", files=pins())
    cards.finished()
    cards.card(files=pins())
    result = run(settings, "pull", "bad", "tiny")
    assert result.exit_code == 3
    assert result.stderr.startswith("liverisk: bad: no folder ")
    assert result.stderr.count("\n") == 1
    assert (models / "tiny").is_dir()


def test_verify_names_every_finding(settings: Path, cards: Cards, models: Path) -> None:
    cards.card(files=pins())
    write_files(models / "tiny", {**FILES, "config.json": b"{}", "more.pt": b""})
    result = run(settings, "verify")
    assert result.exit_code == 3
    assert "tiny: config.json: has sha256" in result.stdout
    assert "tiny: more.pt: is not an allowed kind of file" in result.stdout
    assert "`liverisk models pull tiny` gets it again" in result.stderr


def test_verify_of_a_good_checkpoint_is_quiet(settings: Path, cards: Cards, models: Path) -> None:
    cards.card(files=pins())
    write_files(models / "tiny", FILES)
    result = run(settings, "verify", "tiny")
    assert (result.exit_code, result.stdout) == (0, "tiny: ready\n")


def test_verify_without_anything_pulled_finds_nothing(settings: Path, cards: Cards) -> None:
    cards.card(files=pins())
    result = run(settings, "verify")
    assert (result.exit_code, result.stderr) == (1, "liverisk: not pulled: nothing is\n")


def test_a_broken_card_is_wrong_input(settings: Path, cards: Cards) -> None:
    write_files(cards.directory, {"broken/README.md": b"no front matter"})
    result = run(settings, "list")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
