"""An engine in the process of its caller: which checkpoint of a slot is asked, and what is loaded for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.items import CheckpointRef, Failure, Item, Line, Result, Scores
from pipelines.manifest import Profile
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards
from tests.engines import Predict, calm
from workers.config import Config, Filling, Slot
from workers.engine.batching import Batcher
from workers.engine.engine import BROKEN_BATCHES, Engine
from workers.engine.errors import CheckpointGone, UnknownSlot
from workers.engine.handles import Handle

LIGHT, HEAVY = "a" * 64, "b" * 64


def handle(name: str, digest: str, predict: Predict) -> Handle:
    ref = CheckpointRef(id=name, digest=digest, session="function")
    return Handle(ref, Batcher(predict, name=name, max_batch=4), 0, 0)


def fails(items: Sequence[Item]) -> Sequence[Result]:
    raise MemoryError


@pytest.fixture
def engine() -> Iterator[Engine]:
    """Text has a heavier checkpoint for deep reviews, which is broken; speech has none."""
    handles = {
        "text.risk": handle("light", LIGHT, calm({"light": 1})),
        "speech": handle("speech", LIGHT, calm({"speech": 1})),
    }
    with Engine(handles, {"text.risk": handle("heavy", HEAVY, fails)}) as engine:
        yield engine


@pytest.mark.parametrize(("profile", "names"), [("live", ["light", "speech"]), ("deep", ["heavy", "speech"])])
def test_a_profile_asks_its_own_checkpoint_where_a_slot_has_one(
    engine: Engine, profile: Profile, names: list[str]
) -> None:
    checkpoints = engine.models("room", profile=profile).checkpoints
    assert [checkpoints[slot].id for slot in ("text.risk", "speech")] == names


def test_both_checkpoints_of_a_slot_answer_side_by_side(engine: Engine) -> None:
    live, deep = engine.models("room"), engine.models("room", lane="review", profile="deep")
    assert deep.ask("text.risk", [Line("a")]) == [Failure(error="MemoryError")]
    assert live.ask("text.risk", [Line("a")]) == [Scores(labels={"light": 1})]
    assert deep.ask("speech", [Line("a")]) == [Scores(labels={"speech": 1})]
    heavy = engine.places["text.risk"].deep
    assert heavy is not None
    assert heavy.batcher.counts().bulk_items == 1


def test_a_broken_model_of_deep_reviews_is_seen_as_that_of_any_slot(engine: Engine) -> None:
    deep = engine.models("room", lane="review", profile="deep")
    for _ in range(BROKEN_BATCHES):
        assert engine.broken_slot() is None
        deep.ask("text.risk", [Line("a")])
    assert engine.broken_slot() == "text.risk"


def test_a_slot_is_told_from_a_checkpoint_that_is_not_there(engine: Engine) -> None:
    with pytest.raises(CheckpointGone):
        engine.ask("text.risk", "c" * 64, [Line("a")])
    with pytest.raises(UnknownSlot):
        engine.ask("text.language", LIGHT, [Line("a")])


@pytest.fixture
def cards(tmp_path: Path) -> Cards:
    """Three text classifiers: `light`, `heavy`, and `twin`, which has the weights of `light`."""
    cards = Cards(tmp_path / "cards")
    for name in ("light", "heavy", "twin"):
        labels: dict[str, object] = {"benign": {}, "risky": {"policies": ["scam"]}}
        cards.card(name, slots=["text.risk"], kind="text-classification", labels=labels)
        folder = cards.finished({}, name)
        folder.mkdir()
        tiny.text_classifier(folder)
    config = tmp_path / "cards" / "heavy" / "finished" / "config.json"
    config.write_text(config.read_text() + "\n")
    return cards


@pytest.mark.parametrize(("deep", "asked"), [(None, "light"), ("heavy", "heavy"), ("twin", "light")])
def test_a_deep_checkpoint_is_loaded_beside_that_of_its_slot_unless_they_are_the_same(
    cards: Cards, tmp_path: Path, deep: str | None, asked: str
) -> None:
    slot = Slot(checkpoint="light", threads=1, deep=Filling(checkpoint=deep, threads=1) if deep else None)
    config = Config(
        slots={"text.risk": slot}, cards_directory=cards.directory, models_directory=tmp_path, state_directory=tmp_path
    )
    said: list[str] = []
    with Engine.load(config, report=said.append) as engine:
        models = engine.models("room", profile="deep")
        assert models.checkpoints["text.risk"].id == asked
        assert isinstance(models.ask("text.risk", [Line("hello")])[0], Scores)
        assert engine.checkpoints["text.risk"].id == "light"
    assert len([line for line in said if "ready in" in line]) == (2 if asked == "heavy" else 1)
