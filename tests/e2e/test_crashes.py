"""Whatever dies in the middle of a run, every segment ends with exactly one whole record."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from pipelines.record import MODALITIES
from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.segments import store_segment
from workers import quarantine
from workers.records import read_record, record_key_of, record_keys
from workers.stack.services import Services
from workers.status import read_status

SEGMENTS = 60
Kill = Callable[[Pool, Services], None]


def kill_child(pool: Pool, services: Services) -> None:
    pool.children(pool.workers[-1])[0].send_signal(signal.SIGKILL)


def kill_worker(pool: Pool, services: Services) -> None:
    worker = pool.workers[-1]
    children = pool.children(worker)
    worker.kill()
    worker.wait()
    wait_for(
        lambda: not any(child.is_running() and child.status() != "zombie" for child in children), "no orphan child"
    )
    pool.workers.remove(worker)
    pool.start_worker()


def kill_engine(pool: Pool, services: Services) -> None:
    import psutil

    engine = pool.engine()
    assert engine is not None
    psutil.Process(engine.pid).kill()


def kill_broker(pool: Pool, services: Services) -> None:
    pool.kill_broker()


def kill_state_store(pool: Pool, services: Services) -> None:
    services.valkey.child.kill()
    services.valkey.start()


def done(pool: Pool, stream: str) -> int:
    """One listing: asking for each record takes as long as a dozen more segments."""
    return sum(1 for _ in record_keys(pool.storage, stream_id=stream))


@pytest.mark.timeout(400)
@pytest.mark.parametrize("kill", [kill_child, kill_worker, kill_engine, kill_broker, kill_state_store])
def test_every_segment_ends_with_one_whole_record_when(kill: Kill, pool: Pool, services: Services) -> None:
    if kill is kill_state_store and pool.rabbitmq is None:
        pytest.skip("here the broker is the state store")
    survives(kill, pool, services, segments=SEGMENTS)


@pytest.mark.timeout(200)
def test_nothing_is_lost_in_a_worker_that_is_paused_and_then_dies(pool: Pool, services: Services) -> None:
    wait_for(pool.ready, "the pool is ready", timeout_s=120)
    wait_for(lambda: len(read_status(pool.config).workers or ()) == len(pool.workers), "all workers listen")
    manifests = [store_segment(pool.storage, "paused", number, chat=[f"hello number {number}"]) for number in range(6)]
    pool.workers[-1].send_signal(signal.SIGSTOP)
    pool.send(manifests)
    kill_worker(pool, services)
    assert len(pool.records(manifests)) == len(manifests)


def survives(kill: Kill, pool: Pool, services: Services, *, segments: int) -> None:
    """Sends so many segments, kills when a tenth of them is done, and looks at what became of all of them."""
    wait_for(pool.ready, "the pool is ready", timeout_s=120)
    stream = kill.__name__.replace("_", "-")
    before = list(quarantine.entries(pool.storage))
    manifests = [
        store_segment(pool.storage, stream, number, chat=[f"hello number {number}"]) for number in range(segments)
    ]
    pool.send(manifests)
    wait_for(lambda: done(pool, stream) >= segments // 10, "the run is under way", timeout_s=120)
    kill(pool, services)
    assert done(pool, stream) < segments
    records = pool.records(manifests, timeout_s=240)
    assert done(pool, stream) == segments
    for record in records:
        assert set(record.observations.coverage) == set(MODALITIES)
        lacking = {name: seen for name, seen in record.observations.coverage.items() if seen.status != "examined"}
        assert lacking == {}
        assert all(verdict.examined == "examined" for verdict in record.verdicts)
    wait_for(pool.settled, "no message is left", timeout_s=120)
    # What came twice changed nothing: every record is the one that was there first.
    assert [read_record(pool.storage, record_key_of(manifest)) for manifest in manifests] == records
    assert list(quarantine.entries(pool.storage)) == before
