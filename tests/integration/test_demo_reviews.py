"""How the demo carries reviews to their ends, with no worker to do them."""

from __future__ import annotations

import pytest
import redis

from pipelines.policies import read_policies
from tests.records import START, record
from workers.config import Config
from workers.demo.reviews import ReviewStalled, carry_reviews, packets, settled
from workers.records import key_of, write_record
from workers.runs.run import Batch, Item, Plan, Progress, Request
from workers.runs.store import Runs
from workers.storage import Storage


def nothing(_: Progress | None = None) -> None:
    """Neither tends nor tells."""


def test_a_review_of_a_stream_without_records_ends_without_a_packet(config: Config, storage: Storage) -> None:
    request = Request(run="review-1", stream_id="room-1", until=START, requested_at=START, by="fusion")
    assert Runs(storage).put_request(request)

    assert carry_reviews(config, tend=nothing, tell=nothing, stalled_s=60) == ("review-1",)
    assert packets(storage, ("review-1",)) == ()


def test_a_review_that_nobody_works_on_is_told_of_and_given_up(config: Config, storage: Storage) -> None:
    source = record(0)
    write_record(storage, source)
    runs, told = Runs(storage), list[Progress]()
    runs.put_batch("review-1", Batch(number=1, items=(Item(source=key_of(source)),)))
    runs.put_plan(
        Plan(
            schema="liverisk.plan",
            run="review-1",
            kind="review",
            lane="review",
            profile="deep",
            created_at=START,
            by="fusion",
            policies=read_policies(),
            batches=(1,),
        )
    )

    with pytest.raises(ReviewStalled, match="have not moved"):
        carry_reviews(config, tend=nothing, tell=told.append, stalled_s=0.1)
    assert [(one.run, one.selected, one.done) for one in told] == [("review-1", 1, 0)]


def test_live_segments_that_wait_or_are_in_work_are_not_settled(config: Config, broker: redis.Redis) -> None:
    assert settled(config)
    broker.hset("unacked", "tag", "message")
    assert not settled(config)
