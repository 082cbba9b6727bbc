"""What a segment was given stays its own until it ends, whatever fills the slots meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from pipelines.items import CheckpointRef, Line
from tests.engines import calm
from workers.engine.batching import Batcher
from workers.engine.engine import Engine
from workers.engine.errors import CheckpointGone, EnginePaused
from workers.engine.handles import Handle, Place, Wish

SLOT = "text.risk"


def handle(name: str) -> Handle:
    ref = CheckpointRef(id=name, digest=name[0] * 64, session="function")
    return Handle(ref, Batcher(calm({name: 1}), name=name, max_batch=4), 0, 0)


@pytest.fixture
def engine() -> Iterator[Engine]:
    with Engine({SLOT: handle("a")}) as engine:
        yield engine


def test_a_handle_is_freed_when_the_last_segment_that_has_it_ends(engine: Engine) -> None:
    old = engine.places[SLOT].active.ref
    leases = [engine.start(Wish(stream)) for stream in ("room-1", "room-2")]
    engine.rearrange(SLOT, Place(handle("b")))
    for lease in leases:
        assert engine.free() == 0
        assert engine.ask(SLOT, old.digest, [Line("x")], lease=lease.number)
        engine.end(lease.number)
    assert engine.free() == 1
    with pytest.raises(CheckpointGone):
        engine.ask(SLOT, old.digest, [Line("x")])


def test_a_segment_that_passed_its_deadline_holds_nothing(engine: Engine) -> None:
    engine.start(Wish("room"), deadline=time.monotonic() - 1)
    engine.rearrange(SLOT, Place(handle("b")))
    assert engine.free() == 1


def test_models_that_nobody_has_any_more_hold_nothing(engine: Engine) -> None:
    models = engine.models("room")
    assert models.checkpoints[SLOT].id == "a"
    assert engine.under_way() == 1
    del models
    assert engine.under_way() == 0


def test_what_was_in_use_before_may_be_kept_and_be_in_use_again(engine: Engine) -> None:
    first = engine.places[SLOT].active
    engine.rearrange(SLOT, Place(handle("b"), kept=first))
    assert engine.free() == 0
    engine.rearrange(SLOT, Place(first))
    assert engine.free() == 1
    assert engine.checkpoints[SLOT].id == "a"


def test_nothing_starts_while_the_engine_is_paused(engine: Engine) -> None:
    engine.pause("text.risk is emptied")
    with pytest.raises(EnginePaused, match="is emptied"):
        engine.start(Wish("room"))
    engine.resume()
    assert engine.start(Wish("room")).checkpoints[SLOT].id == "a"


def test_what_a_segment_asked_of_a_shadow_ends_with_it(engine: Engine) -> None:
    shadow = handle("b")
    engine.rearrange(SLOT, Place(engine.places[SLOT].active, shadow=shadow))
    lease = engine.start(Wish("room"))
    assert {slot: ref.id for slot, ref in lease.shadows.items()} == {SLOT: "b"}
    assert engine.start(Wish("room", digests={})).shadows == {}
    engine.ask(SLOT, shadow.ref.digest, [Line("x")], lane="shadow", lease=lease.number)
    assert shadow.batcher.counts().bulk_items == 1
    engine.end(lease.number)
    assert [question.done() for question in lease.asked] == [True]
