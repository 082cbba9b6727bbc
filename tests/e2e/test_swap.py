"""Checkpoints swapped from the command line under a pool of real processes that is at work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import psutil
import pytest

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.segments import store_segment
from tests.swapping import FORCED
from tests.tiny_stock import EYE, SLOT, Stock
from workers.cli.rescan_words import forecast_lines
from workers.records import read_record, record_keys
from workers.registry import moves
from workers.runs.dry_run import forecast
from workers.runs.planning import RescanOrder, plan_rescan
from workers.runs.selection import Selection
from workers.runs.store import Runs

SEGMENTS = 40
HEADS = "heads"
"""The stream that is looked at again after a head changed."""


@pytest.fixture
def moved(pool: Pool) -> Iterator[Pool]:
    """The pool as before the first move, and so again afterwards: no registry, the configured checkpoint serves."""
    begin_again(pool)
    yield pool
    begin_again(pool)


def begin_again(pool: Pool) -> None:
    for key in list(pool.storage.keys("registry/")):
        pool.storage.delete(key)

    def as_configured() -> bool:
        engine = pool.engine()
        if engine is None or not engine.ready or engine.registry:
            return False
        return (engine.slots[SLOT].checkpoint.id, engine.slots[EYE].checkpoint.id) == ("one", "eye")

    wait_for(as_configured, "the pool is as configured", timeout_s=60)


def engine_pid(pool: Pool) -> int | None:
    engine = pool.engine()
    return None if engine is None else engine.pid


def sent(pool: Pool, stream: str, count: int) -> Sequence[SegmentManifest]:
    """Segments of chat, stored and queued."""
    manifests = [store_segment(pool.storage, stream, n, frames=[], chat=[f"hello {n}"]) for n in range(count)]
    pool.send(manifests)
    return manifests


def checkpoints(pool: Pool, manifests: Sequence[SegmentManifest]) -> list[str]:
    """Which one each segment was given, once all have their record."""
    records = pool.records(manifests)
    assert all(record.observations.coverage["chat"].status == "examined" for record in records)
    return [record.observations.checkpoints[SLOT].id for record in records]


def test_segments_under_way_while_a_checkpoint_is_promoted_are_all_recorded_by_one_of_the_two(moved: Pool) -> None:
    manifests = sent(moved, "swapped", SEGMENTS)
    done = moved.run("models", "promote", SLOT, "two", "--why", "a test", "--force", "tiny", "--json")
    said = json.loads(done.stdout)
    assert (done.returncode, said["refused"], [one["problem"] for one in said["engines"]]) == (0, False, [None])
    assert set(checkpoints(moved, manifests)) <= {"one", "two"}
    assert set(checkpoints(moved, sent(moved, "after", 2))) == {"two"}
    assert moved.run("models", "rollback", SLOT).returncode == 0
    assert set(checkpoints(moved, sent(moved, "rolled-back", 2))) == {"one"}
    history = moved.run("models", "history", SLOT, "--json").stdout
    assert [json.loads(line)["step"] for line in history.splitlines()] == ["promote", "rollback"]


def test_a_checkpoint_that_cannot_answer_is_refused_in_one_line_and_withdrawn(moved: Pool, stock: Stock) -> None:
    stock.add("bad", ruined=True)
    done = moved.run("models", "promote", SLOT, "bad", "--force", "tiny")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("liverisk: refused: bad: ")
    assert "withdrawn" in line
    assert set(checkpoints(moved, sent(moved, "still", 2))) == {"one"}


def test_an_engine_that_is_killed_as_it_takes_a_checkpoint_in_comes_up_with_it(moved: Pool) -> None:
    before = engine_pid(moved)
    assert moved.run("models", "promote", SLOT, "three", "--no-wait", "--force", "tiny").returncode == 0
    psutil.Process(before).kill()
    assert set(checkpoints(moved, sent(moved, "killed", 4))) == {"three"}
    assert engine_pid(moved) != before


def test_a_rescan_after_heads_changed_scores_what_is_stored_and_runs_no_encoder(moved: Pool, stock: Stock) -> None:
    """Of texts another linear layer, of frames other phrases; their pixels are not even there any more."""
    for number in (1, 2):
        stock.add_heads(number)
    promoted(moved, SLOT, "head-1")
    promoted(moved, EYE, "phrases-1")
    first = examined(moved, HEADS, 2)
    promoted(moved, SLOT, "head-2")
    promoted(moved, EYE, "phrases-2")
    anew = examined(moved, "anew", 2)
    for media in (one for record in first for one in record.media):
        moved.storage.delete(media.key)

    order = RescanOrder(Selection(streams=(HEADS,)))
    told = list(forecast_lines(forecast(moved.config, moved.storage, order)))
    assert "  re-scored from stored embeddings: frames 2, text 2 of 2 sampled" in told
    before = counts(moved)
    again = rescanned(moved, order)

    asked = {slot: after[0] - before[slot][0] for slot, after in counts(moved).items()}
    assert all(asked.values())
    assert {slot: after[1] - before[slot][1] for slot, after in counts(moved).items()} == asked
    for old, new, wanted in zip(first, again, anew, strict=True):
        assert new.observations.checkpoints == wanted.observations.checkpoints
        assert set(new.reran) == {"frames", "text"}
        assert scores_of(new) == scores_of(wanted) != scores_of(old)


def promoted(pool: Pool, slot: str, checkpoint: str) -> None:
    """Returns when the engine serves it."""
    (answer,) = moves.await_engines(pool.config, moves.promote(pool.config, slot, checkpoint, FORCED), 60)
    assert answer.problem is None


def counts(pool: Pool) -> dict[str, tuple[int, int]]:
    """Slot -> items that its checkpoint was asked about, and those of them for which no encoder ran."""
    engine = pool.engine()
    assert engine is not None
    return {slot: (engine.slots[slot].items, engine.slots[slot].rescored) for slot in (SLOT, EYE)}


def examined(pool: Pool, stream: str, count: int) -> list[Record]:
    """Segments of frames and chat, as the pool records them."""
    manifests = [store_segment(pool.storage, stream, n, chat=[f"hello {n}", "p.a.y f1rst"]) for n in range(count)]
    pool.send(manifests)
    return pool.records(manifests)


def rescanned(pool: Pool, order: RescanOrder) -> list[Record]:
    """The records of the run, in the order of time."""
    plan = plan_rescan(pool.config, pool.storage, order)
    wait_for(lambda: Runs(pool.storage).state(plan.run) == "finished", "the run is over", timeout_s=60)
    found = [read_record(pool.storage, key) for key in record_keys(pool.storage, stream_id=HEADS)]
    return sorted((one for one in found if one.run == plan.run), key=lambda one: one.captured_at)


def scores_of(record: Record) -> list[dict[str, dict[str, float]]]:
    seen = record.observations
    return [*(frame.scores for frame in seen.frames), *(text.scores for text in seen.texts)]
