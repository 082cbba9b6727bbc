"""The state of the pool, read from a real broker, a real store and a real Celery worker."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis
from pydantic import SecretStr

from pipelines.policies import read_policies
from tests.conftest import WaitUntil
from tests.records import START, record, unexamined, verdict
from workers.config import Config
from workers.lexicons import Standing, tell
from workers.recent import note_done, summary
from workers.runs.run import Batch, Item, Plan
from workers.runs.store import Runs
from workers.status import read_status
from workers.storage import Storage


def plan(run: str, *, batches: tuple[int, ...]) -> Plan:
    return Plan(
        schema="liverisk.plan",
        run=run,
        kind="rescan",
        lane="rescan",
        profile="live",
        created_at=START,
        by="tests",
        policies=read_policies(),
        batches=batches,
    )


@contextmanager
def plain_worker(config: Config, lanes: str) -> Iterator[None]:
    """A Celery worker that knows nothing of ours and takes from these lanes."""
    assert config.broker.url is not None
    url = config.broker.url.get_secret_value()
    command = [sys.executable, "-m", "celery", "--quiet", "--broker", url, "worker", "--pool", "solo", "-Q", lanes]
    with subprocess.Popen(
        [*command, "--without-gossip", "--without-mingle"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as worker:
        try:
            yield
        finally:
            worker.kill()


def test_lanes_unacknowledged_messages_and_quarantine_are_counted(
    config: Config, storage: Storage, broker: redis.Redis
) -> None:
    broker.lpush("rescan", "a", "b")
    broker.hset("unacked", "tag", "message")
    storage.put("quarantine/room-1/segment/live.json", b"{}")

    found = read_status(config)

    assert found.reachable
    assert {lane.name: lane.waiting for lane in found.lanes} == {"live": 0, "review": 0, "rescan": 2}
    assert (found.in_work, found.quarantined, found.workers, found.engines) == (1, 1, (), ())


def test_how_long_the_next_message_has_waited_is_read_from_its_header(
    config: Config, storage: Storage, broker: redis.Redis
) -> None:
    now = time.time()
    envelopes = [
        json.dumps({"body": "", "headers": {"queued_at": now - age_s}, "properties": {}}) for age_s in (90, 60, 30)
    ]
    broker.lpush("live", *envelopes)  # as the transport does: the newest first in the list
    broker.lpush("review", "no message")

    ages = {lane.name: lane.oldest_s for lane in read_status(config).lanes}

    assert ages["live"] == pytest.approx(90, abs=20)
    assert (ages["review"], ages["rescan"]) == (None, None)


def test_a_feeder_is_there_while_its_lease_lives(config: Config, storage: Storage, broker: redis.Redis) -> None:
    broker.set("liverisk:feeder", "token", ex=60)
    assert read_status(config).feeder is True


def test_open_runs_are_listed_with_their_counts_and_unreadable_ones_by_name(config: Config, storage: Storage) -> None:
    runs = Runs(storage)
    runs.put_batch("rescan-1", Batch(number=1, items=(Item(source="records/a"), Item(source="records/b"))))
    runs.put_plan(plan("rescan-1", batches=(2,)))
    storage.put("runs/open/rescan-2", b"")

    found = read_status(config)

    assert found.runs is not None
    assert [(one.run, one.state, one.done, one.waiting) for one in found.runs] == [("rescan-1", "running", 0, 2)]
    assert found.runs_unread == ("rescan-2",)


def test_a_worker_is_listed_with_the_lanes_it_takes(config: Config, storage: Storage, wait_until: WaitUntil) -> None:
    with plain_worker(config, "live,review"):
        wait_until(lambda: read_status(config).workers, "the worker answers", timeout_s=60)
        found = read_status(config)

    assert found.workers is not None
    (worker,) = found.workers
    assert (set(worker.lanes), worker.active) == ({"live", "review"}, 0)
    assert [lane.workers for lane in found.lanes] == [1, 1, 0]


def test_an_engine_is_listed_while_its_heartbeat_lives(config: Config, storage: Storage, broker: redis.Redis) -> None:
    slot = {"checkpoint": {"id": "open-nsfw", "digest": "a" * 64, "session": "torch"}, "items": 7}
    beat = {"host": "host-1", "ready": True, "device": "cpu", "rss_bytes": 2**20, "slots": {"vision.nudity": slot}}
    broker.set("liverisk:engine:host-1", json.dumps(beat), ex=60)

    found = read_status(config)

    assert found.engines is not None
    (engine,) = found.engines
    assert (engine.host, engine.ready, engine.slots["vision.nudity"].items) == ("host-1", True, 7)


def test_a_broker_that_is_away_is_said_and_the_store_still_shown(config: Config, storage: Storage) -> None:
    away = config.model_copy(
        update={"broker": config.broker.model_copy(update={"url": SecretStr("redis://127.0.0.1:1/0")})}
    )

    found = read_status(away)

    assert (found.reachable, found.broker.answers, found.store.answers) == (False, False, True)
    assert (found.workers, found.engines, found.in_work) == (None, None, None)


def test_a_store_without_its_bucket_does_not_answer(config: Config) -> None:
    found = read_status(config)

    assert (found.reachable, found.broker.answers, found.store.answers, found.quarantined) == (False, True, False, None)


def test_recent_segments_are_summed_up_by_coverage_and_latency(broker: redis.Redis) -> None:
    whole = record(0, verdict("scam", "high"), latency_s=1.0)
    note_done(broker, whole)
    note_done(broker, record(1, coverage={"speech": unexamined("deadline", 10)}, latency_s=3.0))
    note_done(broker, record(2, run="rescan-1", latency_s=90_000.0))
    broker.rpush("liverisk:stats:recent", "from another version")

    found = summary(broker, now=whole.processing.finished_at + timedelta(minutes=1))

    assert found is not None
    assert found.latency_s is not None
    assert (found.segments, found.flagged, found.whole) == (3, 1, 2)
    assert (found.latency_s.p50, found.latency_s.p95) == (1.0, 3.0)
    assert found.lacking == {"speech deadline": 1}
    assert summary(broker, now=whole.processing.finished_at + timedelta(hours=48)) is None


def test_lexicons_are_shown_as_each_worker_tells_of_its_own(
    config: Config, storage: Storage, broker: redis.Redis
) -> None:
    one, other = (
        Standing(worker=name, digest="a" * 64, terms=9, expired=0, problem=problem)
        for name, problem in (("host-1:7", None), ("host-2:7", "scam.zh.yaml: owner: Field required"))
    )
    tell(broker, other)
    tell(broker, one)
    broker.set("liverisk:lexicon:host-3:7", "of another version")
    assert read_status(config).lexicons == (one, other)
