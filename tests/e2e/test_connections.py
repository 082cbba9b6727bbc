"""The network between the pool and its broker breaks: workers come back, nothing is lost or doubled."""

from __future__ import annotations

import json

from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.segments import store_segment
from workers import quarantine
from workers.records import record_keys

SEGMENTS = 60


def sent(pool: Pool, stream: str, count: int) -> None:
    pool.send([store_segment(pool.storage, stream, number, chat=["hello"]) for number in range(count)])


def done(pool: Pool, stream: str) -> int:
    return sum(1 for _ in record_keys(pool.storage, stream_id=stream))


def listening(pool: Pool) -> bool:
    """Whether every worker answers; a broken connection is noticed at the latest when somebody asks."""
    return len(json.loads(pool.run("status", "--json").stdout)["workers"] or ()) == len(pool.workers)


def test_an_idle_pool_takes_segments_again_after_its_connections_broke(pool: Pool) -> None:
    wait_for(pool.ready, "the pool is ready", timeout_s=120)
    wait_for(pool.settled, "the pool is idle", timeout_s=60)
    assert pool.wire.cut() >= len(pool.workers)
    sent(pool, "cut-while-idle", 8)
    wait_for(lambda: done(pool, "cut-while-idle") == 8, "every segment has its record", timeout_s=60)
    wait_for(lambda: listening(pool), "every worker answers again", timeout_s=60)


def test_a_busy_pool_ends_with_one_record_a_segment_although_its_connections_broke(pool: Pool) -> None:
    wait_for(pool.ready, "the pool is ready", timeout_s=120)
    before = list(quarantine.entries(pool.storage))
    sent(pool, "cut-at-work", SEGMENTS)
    for reached in (2, SEGMENTS // 2):
        wait_for(lambda least=reached: done(pool, "cut-at-work") >= least, "the run is under way", timeout_s=60)  # type: ignore[misc]
        assert pool.wire.cut() > 0
        assert done(pool, "cut-at-work") < SEGMENTS
    wait_for(lambda: done(pool, "cut-at-work") == SEGMENTS, "every segment has its record", timeout_s=120)
    wait_for(pool.settled, "no message is left", timeout_s=120)
    assert done(pool, "cut-at-work") == SEGMENTS
    assert list(quarantine.entries(pool.storage)) == before
