"""What workers count and what the exporter says of it, on a real broker's store and a real object store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest
import redis
from celery.exceptions import Ignore, Reject
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from pipelines.coverage import DEADLINE
from pipelines.items import CheckpointRef
from pipelines.record import Coverage, Modality
from tests.records import record, unexamined, verdict
from workers.config import Broker, Config
from workers.engine import heartbeat
from workers.engine.wire import EngineStatus, SlotStatus
from workers.lanes import CLASSIFY
from workers.metrics.catalogue import METRICS
from workers.metrics.counting import KEY, Tally, count_quarantined, count_record
from workers.metrics.reading import pool_registry
from workers.stack.connection import environment_of
from workers.state import connect
from workers.storage import Storage

Said = dict[tuple[str, frozenset[tuple[str, str]]], float]


def said(config: Config) -> Said:
    """What Prometheus would read: name and labels -> value."""
    return parsed(generate_latest(pool_registry(config)).decode())


def parsed(text: str) -> Said:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(found: Said, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def test_what_children_count_adds_up_whoever_of_them_is_gone(config: Config, storage: Storage) -> None:
    missing: dict[Modality, Coverage] = {"speech": unexamined(DEADLINE, total=10)}
    for index in range(3):
        with connect(config) as child:
            late = record(index, verdict("scam", "medium"), coverage=missing, latency_s=4.0 if index else 700.0)
            count_record(child, late, lane="live", depth="thinned", waited_s=31.0)

    found = said(config)

    assert value(found, "liverisk_segments_total", lane="live", depth="thinned") == 3
    assert value(found, "liverisk_segments_total", lane="live", depth="shed") == 0
    assert value(found, "liverisk_coverage_total", modality="speech", status="not", reason="deadline") == 3
    assert value(found, "liverisk_received_amount_total", modality="speech") == 30
    assert value(found, "liverisk_verdicts_total", policy="scam", action="review") == 3
    assert value(found, "liverisk_segment_latency_seconds_bucket", lane="live", le="3.0") == 0
    assert value(found, "liverisk_segment_latency_seconds_bucket", lane="live", le="5.0") == 2
    assert value(found, "liverisk_segment_latency_seconds_bucket", lane="live", le="600.0") == 2
    assert value(found, "liverisk_segment_latency_seconds_count", lane="live") == 3
    assert value(found, "liverisk_segment_latency_seconds_sum", lane="live") == 708
    assert value(found, "liverisk_stage_seconds_count", lane="live", stage="waiting") == 3
    assert value(found, "liverisk_stage_seconds_sum", lane="live", stage="frames") == pytest.approx(1.02)


def test_how_messages_end_is_counted_and_why_they_go_back(
    config: Config, storage: Storage, broker: redis.Redis
) -> None:
    tally = Tally(lambda: broker, CLASSIFY, "live")

    def refuse() -> object:
        raise Reject("StorageError", requeue=True)

    def send_anew() -> object:
        raise Ignore("Starved")

    tally.count(lambda: "recorded")
    tally.count(lambda: "recorded")
    with pytest.raises(Reject):
        tally.count(refuse)
    with pytest.raises(Ignore):
        tally.count(send_anew)
    count_quarantined(broker, "crashed")
    found = said(config)

    assert value(found, "liverisk_messages_total", task="classify", lane="live", outcome="recorded") == 2
    assert value(found, "liverisk_put_back_total", task="classify", lane="live", error="StorageError") == 1
    assert value(found, "liverisk_put_back_total", task="classify", lane="live", error="Starved") == 1
    assert value(found, "liverisk_quarantined_total", reason="crashed") == 1
    assert value(found, "liverisk_quarantined_total", reason="manifest") == 0


def test_a_message_ends_as_it_would_when_it_cannot_be_counted() -> None:
    def nobody() -> redis.Redis:
        raise redis.ConnectionError

    Tally(nobody, CLASSIFY, "live").count(lambda: "recorded")


def test_counts_of_another_version_are_passed_over(config: Config, storage: Storage, broker: redis.Redis) -> None:
    fields = ("words", '["liverisk_novelty_total", "live"]', '["liverisk_quarantined_total"]', "[]", "3", '"x"', "[[]]")
    broker.hset(KEY, mapping=dict.fromkeys(fields, "7"))

    found = said(config)

    assert not [name for name, _ in found if "novelty" in name]
    assert value(found, "liverisk_quarantined_total", reason="crashed") == 0


def test_lanes_engines_and_quarantine_are_told_as_they_stand(
    config: Config, storage: Storage, broker: redis.Redis
) -> None:
    ref = CheckpointRef(id="e5", digest="b" * 64, session="torch")
    slot = SlotStatus(checkpoint=ref, batches=4, items=10, failed=1, waiting=2, busy_s=3.5, bulk_busy_s=0.5)
    status = EngineStatus(ready=True, pid=1, device="cpu", rss_bytes=2**30, uptime_s=9, slots={"text.risk": slot})
    heartbeat.beat(broker, "host-1", json.dumps({"host": "host-1", **status.model_dump(mode="json")}))
    broker.lpush("rescan", "a", "b")
    storage.put("quarantine/room/segment/live.json", b"{}")

    found = said(config)
    labels = {"host": "host-1", "slot": "text.risk", "role": "active", "checkpoint": f"e5@{'b' * 12}"}

    assert value(found, "liverisk_lane_waiting", lane="rescan") == 2
    assert value(found, "liverisk_lane_workers", lane="rescan") == 0
    assert value(found, "liverisk_quarantine_entries") == 1
    assert value(found, "liverisk_answers", piece="broker") == 1
    assert value(found, "liverisk_engine_ready", host="host-1", device="cpu") == 1
    assert value(found, "liverisk_engine_items_total", **labels) == 10
    assert value(found, "liverisk_engine_batches_total", **labels) == 4
    assert value(found, "liverisk_engine_busy_seconds_total", **labels) == 3.5
    assert {name for name, _ in found} <= known_names()


def known_names() -> set[str]:
    endings = ("_bucket", "_sum", "_count")
    histograms = {f"{one.name}{ending}" for one in METRICS if one.kind == "histogram" for ending in endings}
    return histograms | {one.name for one in METRICS if one.kind != "histogram"}


def test_what_does_not_answer_is_said_and_has_no_values(config: Config, storage: Storage) -> None:
    away = config.model_copy(update={"broker": Broker(url=SecretStr("redis://127.0.0.1:1/0"))})

    found = said(away)

    assert value(found, "liverisk_answers", piece="broker") == 0
    assert value(found, "liverisk_answers", piece="store") == 1
    assert value(found, "liverisk_lane_waiting", lane="live") is None
    assert value(found, "liverisk_quarantine_entries") == 0


@pytest.fixture
def exporter(config: Config, storage: Storage) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from workers.cli.main import main; main()", "metrics", "--port", "0"]
    with subprocess.Popen(command, env=environment_of(config), stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_the_command_serves_them_until_it_is_told_to_end(exporter: subprocess.Popen[str]) -> None:
    assert exporter.stderr is not None
    address = exporter.stderr.readline().split()[-1]
    with urllib.request.urlopen(address, timeout=30) as answer:
        found = parsed(answer.read().decode())
    exporter.send_signal(signal.SIGTERM)

    assert value(found, "liverisk_answers", piece="store") == 1
    assert exporter.wait(30) == 0
