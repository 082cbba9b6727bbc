"""An engine that follows the registry: what it loads, switches, keeps and refuses. All but the process is real."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from pipelines.items import Line, Result, Scores
from tests.conftest import wait_for
from tests.engines import calling
from tests.swapping import FORCED, SLOT, Workshop, engine_of
from workers.config import Config
from workers.engine.client import EngineClient, RemoteModels
from workers.engine.errors import CheckpointGone
from workers.registry import moves
from workers.registry.moves import Answer, Asked, await_engines
from workers.registry.slots import Move
from workers.registry.store import KEY, RegistryError, history, read_state, write_move
from workers.registry.streams import takes
from workers.storage import Storage

WAIT_S = 60.0
TEXT = [Line("hello")]


@pytest.fixture
def workshop(config: Config, storage: Storage, tmp_path: Path) -> Iterator[Workshop]:
    """Its objects go with the test, so that the bucket can."""
    yield Workshop(config, tmp_path)
    for key in list(storage.keys("")):
        storage.delete(key)


def models_for(client: EngineClient, stream: str = "room", **named: object) -> RemoteModels:
    return client.models(stream, lane="live", deadline=time.monotonic() + 30, **named)  # type: ignore[arg-type]


def active(client: EngineClient) -> str:
    return client.status().slots[SLOT].checkpoint.id


def settle(workshop: Workshop, move: Move) -> str | None:
    """What the one engine says of the move."""
    (answer,) = await_engines(workshop.config, move, WAIT_S)
    assert isinstance(answer, Answer)
    return answer.problem


def test_a_segment_keeps_its_checkpoint_to_its_end_and_the_next_has_the_new_one(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        early = models_for(client)
        before = early.ask(SLOT, TEXT)
        assert settle(workshop, moves.promote(workshop.config, SLOT, "two", FORCED)) is None
        late = models_for(client)
        assert (early.checkpoints[SLOT].id, late.checkpoints[SLOT].id) == ("one", "two")
        assert early.ask(SLOT, TEXT) == before != late.ask(SLOT, TEXT)
        assert settle(workshop, moves.rollback(workshop.config, SLOT)) is None
        assert models_for(client).checkpoints == early.checkpoints
        assert late.ask(SLOT, TEXT) != before


def test_an_old_checkpoint_is_freed_when_its_last_segment_ends(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        early = models_for(client)
        for name in ("two", "three"):  # `one` is not even kept for going back any more
            assert settle(workshop, moves.promote(workshop.config, SLOT, name, FORCED)) is None
        assert client.status().kept[SLOT].checkpoint.id == "two"
        early.ask(SLOT, TEXT)
        early.close()

        def gone() -> bool:
            try:
                early.ask(SLOT, TEXT)
            except CheckpointGone:
                return True
            return False

        wait_for(gone, "the old checkpoint is freed")


def test_a_run_is_given_the_checkpoint_that_it_was_planned_with_while_it_is_kept(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        planned = {SLOT: client.status().slots[SLOT].checkpoint.digest}
        assert settle(workshop, moves.promote(workshop.config, SLOT, "two", FORCED)) is None
        assert models_for(client, digests=planned).checkpoints[SLOT].id == "one"
        assert models_for(client, digests={}).checkpoints[SLOT].id == "two"


def test_a_canary_serves_its_streams_and_no_other(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        assert settle(workshop, moves.canary(workshop.config, SLOT, "two", 30, FORCED)) is None
        for stream in (f"room-{number}" for number in range(12)):
            with models_for(client, stream) as models:
                assert (models.checkpoints[SLOT].id == "two") == takes(SLOT, stream, 30)
        assert active(client) == "one"
        assert client.status().shares == {SLOT: 30}
        with models_for(client, next(s for s in map(str, range(99)) if takes(SLOT, s, 30)), digests={}) as run:
            assert run.checkpoints[SLOT].id == "one"


def test_a_shadow_answers_beside_and_is_asked_by_name_only(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        assert settle(workshop, moves.shadow(workshop.config, SLOT, "two")) is None
        with models_for(client) as models:
            assert (models.checkpoints[SLOT].id, models.shadows[SLOT].id) == ("one", "two")
            mine, its = models.ask(SLOT, TEXT), models.ask_shadow(SLOT, TEXT)
        assert labels(mine) != labels(its)
        assert models_for(client, digests={}).shadows == {}


def labels(results: Sequence[Result]) -> dict[str, float]:
    (one,) = results
    assert isinstance(one, Scores)
    return one.labels


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        ({"ruined": True}, "bad: "),
        ({"words": 4}, "bad: "),
    ],
)
def test_a_checkpoint_that_fails_its_first_questions_changes_nothing(
    workshop: Workshop, trouble: dict[str, object], line: str
) -> None:
    workshop.add("bad", 1, **trouble)  # type: ignore[arg-type]
    with engine_of(workshop.config), calling(workshop.config) as client:
        before = models_for(client).ask(SLOT, TEXT)
        move = moves.promote(workshop.config, SLOT, "bad", FORCED)
        problem = settle(workshop, move)
        assert problem is not None
        assert problem.startswith(line)
        assert "\n" not in problem
        assert client.status().problems == {SLOT: problem}
        moves.withdraw(workshop.config, move, problem)
        assert models_for(client).ask(SLOT, TEXT) == before
        wait_for(lambda: client.status().problems == {}, "nothing is wrong any more")


def test_a_checkpoint_too_large_for_what_is_free_is_refused_before_it_is_moved(workshop: Workshop) -> None:
    small = workshop.config.model_copy(
        update={"engine": workshop.config.engine.model_copy(update={"memory_limit_mb": 1})}
    )
    with engine_of(small), calling(small) as client:
        wait_for(lambda: [one for one in moves.engines(small) if one.free_bytes is not None], "it says what is free")
        with pytest.raises(RegistryError, match=r"takes about \d+ MiB to load and .* has 0 MiB free"):
            moves.promote(small, SLOT, "two", FORCED)
        assert active(client) == "one"


def test_an_engine_without_room_for_two_frees_the_old_one_first_when_told_to(workshop: Workshop) -> None:
    small = workshop.config.model_copy(
        update={"engine": workshop.config.engine.model_copy(update={"memory_limit_mb": 1})}
    )
    with engine_of(small), calling(small) as client:
        with models_for(client) as models:
            models.ask(SLOT, TEXT)
        move = moves.promote(small, SLOT, "two", Asked(drain=True, force="a test"))
        (answer,) = await_engines(small, move, WAIT_S)
        assert answer.problem is None
        assert active(client) == "two"
        assert client.status().kept == {}
        workshop.add("bad", 1, ruined=True)
        move = moves.promote(small, SLOT, "bad", Asked(drain=True, force="a test"))
        (answer,) = await_engines(small, move, WAIT_S)
        assert answer.problem is not None
        assert models_for(client).checkpoints[SLOT].id == "two"


def test_an_engine_that_was_down_comes_up_with_what_the_registry_says(workshop: Workshop) -> None:
    moves.promote(workshop.config, SLOT, "two", FORCED)
    moves.shadow(workshop.config, SLOT, "three")
    with engine_of(workshop.config), calling(workshop.config) as client:
        status = client.status()
        assert (status.slots[SLOT].checkpoint.id, status.shadow[SLOT].checkpoint.id) == ("two", "three")
        assert (status.registry, status.problems) == (2, {})


def test_an_engine_whose_checkpoint_is_gone_comes_up_with_the_one_before_and_says_so(workshop: Workshop) -> None:
    moves.promote(workshop.config, SLOT, "two", FORCED)
    finished = workshop.cards.directory / "two" / "finished" / "model.safetensors"
    for path in (finished, workshop.config.models / "two" / "model.safetensors"):
        path.write_bytes(path.read_bytes()[:-4])
    with engine_of(workshop.config), calling(workshop.config) as client:
        assert active(client) == "one"
        assert client.status().problems[SLOT].startswith("two: ")


def test_an_engine_that_cannot_read_the_registry_at_its_start_says_so_and_waits(
    workshop: Workshop, storage: Storage
) -> None:
    moves.promote(workshop.config, SLOT, "two", FORCED)
    whole = storage.get(KEY)
    storage.put(KEY, b"{")
    with engine_of(workshop.config, ready=False), calling(workshop.config) as client:
        wait_for(lambda: "waiting for the registry: " in doing(workshop), "the engine says what it waits for")
        assert client.status().ready is False
        storage.put(KEY, whole)
        client.wait_until_ready(WAIT_S)
        assert active(client) == "two"


def test_an_engine_that_can_no_longer_read_the_registry_says_so_and_goes_on(
    workshop: Workshop, storage: Storage
) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        assert settle(workshop, moves.promote(workshop.config, SLOT, "two", FORCED)) is None
        whole = storage.get(KEY)
        storage.put(KEY, b"{")
        wait_for(lambda: "cannot read the registry: " in doing(workshop), "the engine says what keeps it")
        assert active(client) == "two"
        storage.put(KEY, whole)
        wait_for(lambda: doing(workshop) == "", "nothing keeps it any more")


def test_an_engine_that_ends_is_waited_for_no_longer(workshop: Workshop) -> None:
    with engine_of(workshop.config):
        wait_for(lambda: moves.engines(workshop.config), "the engine has said how far it is")
    assert moves.engines(workshop.config) == ()


def doing(workshop: Workshop) -> str:
    return "; ".join(one.doing for one in moves.engines(workshop.config))


def test_a_checkpoint_given_back_twice_is_served_each_time(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        for name in ("two", "three"):
            assert settle(workshop, moves.promote(workshop.config, SLOT, name, FORCED)) is None
        for name in ("two", "one"):
            assert settle(workshop, moves.rollback(workshop.config, SLOT)) is None
            assert active(client) == name


def test_an_engine_that_is_not_told_of_a_move_looks_by_itself(workshop: Workshop, storage: Storage) -> None:
    """The registry is put there as another host would, and nobody listens to what it broadcasts."""
    move = moves.promote(workshop.config, SLOT, "two", Asked(dry_run=True, force="a test"))
    with engine_of(workshop.config), calling(workshop.config) as client:
        write_move(storage, read_state(storage), move)
        wait_for(lambda: active(client) == "two", "the engine has looked")
        storage.delete(KEY)  # a registry that is gone leaves the configuration
        wait_for(lambda: active(client) == "one", "the engine is as configured")
        assert len(history(storage)) == 0


def test_a_checkpoint_that_is_canary_and_shadow_is_loaded_once(workshop: Workshop) -> None:
    with engine_of(workshop.config), calling(workshop.config) as client:
        assert settle(workshop, moves.shadow(workshop.config, SLOT, "two")) is None
        assert settle(workshop, moves.canary(workshop.config, SLOT, None, 50, FORCED)) is None
        status = client.status()
        assert status.canary[SLOT].checkpoint == status.shadow[SLOT].checkpoint
        stream = next(s for s in map(str, range(99)) if takes(SLOT, s, 50))
        with models_for(client, stream) as models:
            assert models.shadows == {}  # it is in use already
