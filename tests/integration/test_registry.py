"""Moves of the registry on a real store: what they make of it, and what they are refused for. No engine runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import yaml
from click.testing import CliRunner, Result

from pipelines.cards import CARDS_DIRECTORY, Label
from pipelines.comparison.evaluation import Evaluation, Golden, Tolerance
from pipelines.comparison.pairs import Pair
from pipelines.comparison.report import Spoken, compare
from pipelines.items import CheckpointRef
from pipelines.policies import read_policies
from tests.swapping import FORCED, SLOT, Workshop
from workers.cli.main import cli
from workers.config import Config, load_config
from workers.registry import moves
from workers.registry.evaluated import keep
from workers.registry.intake import Intake, report
from workers.registry.moves import Asked, StillMoving
from workers.registry.store import HISTORY, MovedMeanwhile, RegistryError, history, read_state, write_move
from workers.registry.verified import verified
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
    moves.canary(config, SLOT, None, 10, FORCED)
    now = read_state(storage).filling(SLOT)
    assert now is not None
    assert (now.active.id, now.shadow.id if now.shadow else "", now.canary.id if now.canary else "", now.share) == (
        *("one", "two", "two"),
        10,
    )
    moves.promote(config, SLOT, None, FORCED)
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
    moves.promote(config, SLOT, "two", FORCED)
    moves.canary(config, SLOT, "three", 5, FORCED)
    first, second = moves.rollback(config, SLOT).after, moves.rollback(config, SLOT).after
    assert first is not None
    assert second is not None
    assert (first.active.id, first.canary) == ("two", None)
    assert second.active.id == "one"


def active(storage: Storage) -> str:
    filling = read_state(storage).filling(SLOT)
    assert filling is not None
    return filling.active.id


def test_rollbacks_lead_back_one_by_one_to_where_it_began(workshop: Workshop, storage: Storage) -> None:
    config, served = workshop.config, []
    for name in ("two", "three"):
        moves.promote(config, SLOT, name, FORCED)
    for _ in range(2):
        moves.rollback(config, SLOT)
        served.append(active(storage))
    assert served == ["two", "one"]
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        moves.rollback(config, SLOT)


def test_what_was_rolled_back_is_not_where_a_later_rollback_leads(workshop: Workshop, storage: Storage) -> None:
    config = workshop.config
    moves.promote(config, SLOT, "two", FORCED)
    moves.rollback(config, SLOT)
    moves.promote(config, SLOT, "three", FORCED)
    moves.rollback(config, SLOT)
    assert active(storage) == "one"


def test_a_checkpoint_that_nobody_evaluated_is_put_to_use_by_force_alone(workshop: Workshop, storage: Storage) -> None:
    config = workshop.config
    line = "two: was never held against one, which serves; `liverisk models eval two --slot text.risk"
    with pytest.raises(RegistryError, match=line):
        moves.promote(config, SLOT, "two")
    with pytest.raises(RegistryError, match=line):
        moves.canary(config, SLOT, "two", 5)
    assert moves.shadow(config, SLOT, "two").objections == ()
    moves.promote(config, SLOT, None, Asked(force="the old one is withdrawn"))
    last = history(storage)[-1]
    assert (last.forced, len(last.objections)) == ("the old one is withdrawn", 1)


def test_an_evaluation_against_the_one_that_serves_lets_a_checkpoint_in(workshop: Workshop, storage: Storage) -> None:
    config = workshop.config
    keep(storage, evaluation("two", config), "ada", "0.02")
    assert moves.canary(config, SLOT, "two", 5).evaluation.startswith("two held against one at ")
    move = moves.promote(config, SLOT)
    assert (move.forced, move.objections) == ("", ())
    assert "by ada on 3 lines of data.jsonl (tolerance 0.02): passed" in move.evaluation
    keep(storage, evaluation("three", config), "ada", "0.02")
    with pytest.raises(RegistryError, match="three: was never held against two"):
        moves.promote(config, SLOT, "three")


def test_a_regression_beyond_the_tolerance_is_refused_unless_somebody_has_a_reason(
    workshop: Workshop, storage: Storage
) -> None:
    config = workshop.config
    keep(storage, evaluation("two", config, "scam: recall 0.9 → 0.4", "golden example: risky is 0.1"), "ada", "0.02")
    with pytest.raises(RegistryError, match=r"two against one: scam: recall .* \(and 1 more\); --force"):
        moves.promote(config, SLOT, "two")
    assert len(moves.promote(config, SLOT, "two", Asked(force="quota")).objections) == 2
    moves.rollback(config, SLOT)
    keep(storage, evaluation("two", config, "slower", forced="a new machine comes"), "ada", "0.02")
    assert "taken all the same: a new machine comes" in moves.promote(config, SLOT, "two").evaluation


def test_a_stored_evaluation_quotes_nobody(workshop: Workshop, storage: Storage) -> None:
    kept = keep(storage, evaluation("two", workshop.config, text="who wrote this"), "ada", "0.02")
    stored = b"".join(storage.get(key) for key in storage.keys("registry/evaluations/"))
    assert kept.evaluation.comparison.policies[0].exemplars == ()
    assert b"who wrote this" not in stored


def test_a_checkpoint_that_is_silent_where_the_active_one_speaks_is_refused_unless_forced(workshop: Workshop) -> None:
    config = workshop.config
    workshop.add("mute", 6)
    path = workshop.cards.directory / "mute" / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("scam", "hate"), encoding="utf-8")
    with pytest.raises(RegistryError, match="mute: no label of it speaks for scam, and one does"):
        moves.promote(config, SLOT, "mute")
    assert "no label of it speaks for scam" in moves.promote(config, SLOT, "mute", FORCED).objections[0]


def test_an_engine_of_another_registry_holds_no_move_up(workshop: Workshop, broker: redis.Redis) -> None:
    report(broker, Intake(engine="elsewhere:1", pid=1, follows="another-bucket", version=0))
    assert moves.engines(workshop.config) == ()
    assert [one.engine for one in moves.all_engines(workshop.config)] == ["elsewhere:1"]


def evaluation(
    name: str, config: Config, *regressions: str, forced: str | None = None, text: str | None = None
) -> Evaluation:
    """What `models eval` finds of a checkpoint beside `one`."""
    old, new = (
        Spoken(
            CheckpointRef(id=one, digest=verified(config, SLOT, one).digest, session="torch"),
            {"risky": Label(policies=("scam",))},
            {},
        )
        for one in ("one", name)
    )
    pairs = [
        Pair(f"line {n}", "line", "chat", "en", {"risky": 0.9}, {"risky": 0.1}, {"scam": True}, text) for n in range(3)
    ]
    policies = read_policies(config.policies_file)
    found = compare(pairs, old, new, policies, slot=SLOT, source="3 lines of data.jsonl")
    judged = Evaluation.of(found, Golden(examples=1), Tolerance(), forced=forced)
    outcome = {"regressions": regressions, "forced": forced, "passed": not regressions or forced is not None}
    return judged.model_copy(update=outcome)


def test_a_move_that_is_only_tried_changes_nothing(workshop: Workshop, storage: Storage) -> None:
    move = moves.promote(workshop.config, SLOT, "two", Asked(dry_run=True, force="a test"))
    assert str(move).startswith("promote text.risk: as configured -> two@")
    assert list(storage.keys("registry/")) == []


def test_of_two_moves_at_once_the_second_is_told_so(workshop: Workshop, storage: Storage) -> None:
    moves.shadow(workshop.config, SLOT, "two")
    state = read_state(storage)

    def make(name: str) -> str:
        move = moves.promote(workshop.config, SLOT, name, Asked(dry_run=True, force="a test"))
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
    moves.promote(config, SLOT, "two", FORCED)
    report(broker, Intake(engine="host:1", pid=1, version=0, doing="taking in promote"))
    with pytest.raises(StillMoving, match=r"another move is still being taken in: promote text\.risk"):
        moves.promote(config, SLOT, "three", FORCED)
    assert moves.rollback(config, SLOT).version == 2
    with pytest.raises(StillMoving):
        moves.rollback(config, SLOT)


def test_a_move_that_was_refused_is_withdrawn_to_what_was_before(workshop: Workshop, storage: Storage) -> None:
    move = moves.promote(workshop.config, SLOT, "two", FORCED)
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


@pytest.fixture
def liverisk(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """The command line in the workshop's deployment."""
    for name, value in environment_of(workshop.config).items():
        monkeypatch.setenv(name, value)
    for slot in load_config(environment={}).slots.values():  # a settings file adds to the shipped slots
        (workshop.cards.directory / slot.checkpoint).symlink_to(CARDS_DIRECTORY / slot.checkpoint)
    settings = workshop.config.model_dump(mode="json", include={"slots", "cards_directory", "models_directory"})
    (tmp_path / "liverisk.yaml").write_text(yaml.safe_dump(settings))
    return lambda *arguments: CliRunner().invoke(cli, ["--config", str(tmp_path / "liverisk.yaml"), *arguments])


def test_what_eval_finds_on_the_command_line_is_what_promote_asks_for(
    workshop: Workshop, liverisk: Callable[..., Result]
) -> None:
    golden = workshop.cards.directory / "two" / "golden.jsonl"
    golden.write_text(json.dumps({"text": "hello", "scores": {"risky": 0.5}, "tolerance": 1}) + "\n")
    assert "was never held against one" in liverisk("models", "promote", SLOT, "two", "--no-wait").output
    judged = liverisk("models", "eval", "two", "--slot", SLOT, "--slower", "99", "--larger", "99")
    assert (judged.exit_code, "not stored" in judged.output) == (0, False)
    made = liverisk("models", "promote", SLOT, "two", "--no-wait")
    assert made.exit_code == 0
    assert "two held against one at " in made.output
    assert "on 1 golden examples of two (tolerance 0.02, 99 times slower, 99 times larger): passed" in made.output


def test_slots_and_history_are_shown_on_the_command_line(workshop: Workshop, liverisk: Callable[..., Result]) -> None:
    assert "nothing was ever moved" in liverisk("models", "history").output
    tried = liverisk("models", "promote", SLOT, "two", "--dry-run", "--force", "a test")
    assert tried.output.startswith("would promote text.risk: as configured -> two@")
    assert read_state(Storage(workshop.config.store)).registry is None
    made = liverisk("models", "promote", SLOT, "two", "--no-wait", "--why", "better", "--force", "a test", "--json")
    assert json.loads(made.output)["move"]["to"]["active"]["id"] == "two"
    shown = liverisk("models", "slots").output
    assert "two@" in shown
    assert "OVERRULES the configured one" in shown
    assert "no engine runs" in shown
    move, grounds = liverisk("models", "history").output.splitlines()
    assert move.endswith("(better)")
    assert grounds.startswith("      FORCED (a test) against: two: was never held against one")
    refused = liverisk("models", "promote", SLOT, "four")
    assert (refused.exit_code, len(refused.output.splitlines())) == (3, 1)
    assert "OVERRULES the configured one" in liverisk("config", "check").output
