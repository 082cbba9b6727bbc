"""Checkpoints swapped from the command line under a pool of real processes that is at work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import psutil
import pytest

from pipelines.manifest import SegmentManifest
from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.segments import store_segment
from tests.tiny_stock import SLOT, Stock

SEGMENTS = 40


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
        return engine is not None and (engine.ready, engine.registry, active(pool)) == (True, 0, "one")

    wait_for(as_configured, "the pool is as configured", timeout_s=60)


def active(pool: Pool) -> str | None:
    engine = pool.engine()
    return None if engine is None else engine.slots[SLOT].checkpoint.id


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
