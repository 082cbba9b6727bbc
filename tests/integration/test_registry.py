"""Moves of the registry on a real store: what they make of it, and what they are refused for. No engine runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import yaml
from click.testing import CliRunner, Result

from pipelines.cards import CARDS_DIRECTORY
from tests.swapping import SLOT, Workshop
from workers.cli.main import cli
from workers.config import Config, load_config
from workers.registry import moves
from workers.registry.intake import Intake, report
from workers.registry.moves import Asked, StillMoving
from workers.registry.store import HISTORY, MovedMeanwhile, RegistryError, history, read_state, write_move
from workers.stack.connection import environment_of
from workers.storage import Storage


@pytest.fixture
def workshop(config: Config, storage: Storage, tmp_path: Path) -> Iterator[Workshop]:
    """Its objects go with the test, so that the bucket can."""
    yield Workshop(config, tmp_path)
    for key in list(storage.keys("")):
        storage.delete(key)


def test_the_path_of_a_checkpoint_from_shadow_to_rollback(workshop: Workshop, storage: Storage) -> None:
    config = workshop.config
    assert read_state(storage).registry is None
    moves.shadow(config, SLOT, "two", Asked(why="new data", who="ada"))
    moves.canary(config, SLOT, None, 10)
    now = read_state(storage).filling(SLOT)
    assert now is not None
    assert (now.active.id, now.shadow.id if now.shadow else "", now.canary.id if now.canary else "", now.share) == (
        *("one", "two", "two"),
        10,
    )
    moves.promote(config, SLOT)
    now = read_state(storage).filling(SLOT)
    assert now is not None
    assert (now.active.id, now.previous.id if now.previous else "", now.shadow, now.canary) == (
        "two",
        "one",
        None,
        None,
    )
    moves.rollback(config, SLOT)
    now = read_state(storage).filling(SLOT)
    assert now is not None
    assert (now.active.id, now.previous) == ("one", None)
    made = history(storage)
    assert [move.step for move in made] == ["shadow", "canary", "promote", "rollback"]
    assert [move.version for move in made] == [1, 2, 3, 4]
    assert (made[0].who, made[0].why, made[0].before) == ("ada", "new data", None)
    assert [move.after for move in made[:-1]] == [move.before for move in made[1:]]


def test_a_rollback_takes_out_the_canary_first(workshop: Workshop) -> None:
    config = workshop.config
    moves.promote(config, SLOT, "two")
    moves.canary(config, SLOT, "three", 5)
    first, second = moves.rollback(config, SLOT).after, moves.rollback(config, SLOT).after
    assert first is not None
    assert second is not None
    assert (first.active.id, first.canary) == ("two", None)
    assert second.active.id == "one"


def test_a_move_that_is_only_tried_changes_nothing(workshop: Workshop, storage: Storage) -> None:
    move = moves.promote(workshop.config, SLOT, "two", Asked(dry_run=True))
    assert str(move).startswith("promote text.risk: as configured -> two@")
    assert list(storage.keys("registry/")) == []


def test_of_two_moves_at_once_the_second_is_told_so(workshop: Workshop, storage: Storage) -> None:
    moves.shadow(workshop.config, SLOT, "two")
    state = read_state(storage)

    def make(name: str) -> str:
        move = moves.promote(workshop.config, SLOT, name, Asked(dry_run=True))
        try:
            write_move(storage, state, move)
        except MovedMeanwhile as error:
            return str(error)
        return "moved"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(make, ("two", "three")))
    assert said[1] == "moved"
    assert said[0].startswith("another move came first: promote text.risk: ")
    assert len(list(storage.keys(HISTORY))) == 2


def test_a_move_whose_maker_died_before_its_history_is_in_the_history(workshop: Workshop, storage: Storage) -> None:
    moves.shadow(workshop.config, SLOT, "two")
    storage.delete(f"{HISTORY}00000001.json")
    moves.clear(workshop.config, SLOT)
    assert [move.step for move in history(storage)] == ["shadow", "clear"]


def test_a_move_waits_for_the_one_before_but_that_one_may_be_rolled_back(
    workshop: Workshop, broker: redis.Redis
) -> None:
    config = workshop.config
    moves.promote(config, SLOT, "two")
    report(broker, Intake(engine="host:1", pid=1, version=0, doing="taking in promote"))
    with pytest.raises(StillMoving, match=r"another move is still being taken in: promote text\.risk"):
        moves.promote(config, SLOT, "three")
    assert moves.rollback(config, SLOT).version == 2
    with pytest.raises(StillMoving):
        moves.rollback(config, SLOT)


def test_a_move_that_was_refused_is_withdrawn_to_what_was_before(workshop: Workshop, storage: Storage) -> None:
    move = moves.promote(workshop.config, SLOT, "two")
    moves.withdraw(workshop.config, move, "host: no memory")
    assert read_state(storage).filling(SLOT) is None
    assert [(one.step, one.why) for one in history(storage)] == [("promote", ""), ("withdraw", "host: no memory")]
    with pytest.raises(RegistryError, match="not the last any more"):
        moves.withdraw(workshop.config, move, "again")


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda config: moves.promote(config, SLOT, "four"), "no card named four; there are one, three, two"),
        (lambda config: moves.promote(config, "text.other", "two"), "two: slots: the card is for text.risk"),
        (lambda config: moves.promote(config, SLOT, "one"), "is the active one already"),
        (lambda config: moves.promote(config, SLOT), "has neither canary nor shadow"),
        (lambda config: moves.rollback(config, SLOT), "nothing to roll back to"),
        (lambda config: moves.clear(config, SLOT), "has neither shadow nor canary"),
        (lambda config: moves.canary(config, SLOT, "two", 101), "more than 0 and at most 100 percent"),
    ],
)
def test_what_cannot_be_moved_is_told_in_one_line(workshop: Workshop, make: object, line: str) -> None:
    assert callable(make)
    with pytest.raises(RegistryError) as caught:
        make(workshop.config)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_is_not_whole_is_refused_before_anything_is_moved(
    workshop: Workshop, storage: Storage
) -> None:
    damaged = workshop.add("damaged", 4) / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes() + b"\0")
    (workshop.add("pickled", 5) / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    (workshop.config.models / "absent").mkdir()
    for name, line in (("damaged", "has sha256"), ("pickled", "pytorch_model.bin: is not an allowed kind of file")):
        with pytest.raises(RegistryError, match=line):
            moves.shadow(workshop.config, SLOT, name)
    assert read_state(storage).registry is None


def test_slots_and_history_are_shown_on_the_command_line(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment_of(workshop.config).items():
        monkeypatch.setenv(name, value)
    for slot in load_config(environment={}).slots.values():  # a settings file adds to the shipped slots
        (workshop.cards.directory / slot.checkpoint).symlink_to(CARDS_DIRECTORY / slot.checkpoint)
    settings = workshop.config.model_dump(mode="json", include={"slots", "cards_directory", "models_directory"})
    (tmp_path / "liverisk.yaml").write_text(yaml.safe_dump(settings))

    def liverisk(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["--config", str(tmp_path / "liverisk.yaml"), *arguments])

    assert "nothing was ever moved" in liverisk("models", "history").output
    tried = liverisk("models", "promote", SLOT, "two", "--dry-run")
    assert tried.output.startswith("would promote text.risk: as configured -> two@")
    assert read_state(Storage(workshop.config.store)).registry is None
    made = liverisk("models", "promote", SLOT, "two", "--no-wait", "--why", "better", "--json")
    assert json.loads(made.output)["move"]["to"]["active"]["id"] == "two"
    shown = liverisk("models", "slots").output
    assert "two@" in shown
    assert "OVERRULES the configured one" in shown
    assert "no engine runs" in shown
    assert liverisk("models", "history").output.rstrip().endswith("(better)")
    refused = liverisk("models", "promote", SLOT, "four")
    assert (refused.exit_code, len(refused.output.splitlines())) == (3, 1)
    assert "OVERRULES the configured one" in liverisk("config", "check").output
