"""Segments through the real pool: two workers of two children each, one engine, tiny weights, real lexicons."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from pipelines import coverage as why
from pipelines.record import MODALITIES, Record
from tests.conftest import wait_for
from tests.e2e.conftest import CHILDREN, Pool
from tests.segments import jpeg, store_segment
from workers.lexicons import told
from workers.records import record_key_of
from workers.state import connect

SCAM = [
    "加微信 vx8888 保证每天赚三千",
    "guaranteed profit every day, send USDT first and add my WhatsApp",
    "大家好",
]


def test_a_segment_becomes_one_record_with_verdicts_and_their_evidence(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "scam-room", chat=SCAM)
    pool.send([manifest])
    (record,) = pool.records([manifest])
    scam = next(verdict for verdict in record.verdicts if verdict.policy == "scam")
    assert scam.action in ("review", "act")
    assert scam.evidence[0].modality == "chat"
    assert len(record.verdicts) == 12
    assert set(record.observations.coverage) == set(MODALITIES)
    assert set(record.observations.checkpoints) == {"vision.nudity", "speech", "ocr", "text.risk", "lexicon"}


def test_a_term_that_is_written_down_is_found_without_a_restart(pool: Pool) -> None:
    new = "policy: scam\nlanguage: de\nowner: me\nterms: [{ term: blaue tulpen, strength: 0.9 }]\n"
    (pool.lexicons / "scam.de.yaml").write_text(new, encoding="utf-8")
    numbers = itertools.count()

    def found() -> Record | None:
        manifest = store_segment(pool.storage, "tulip-room", next(numbers), frames=[], chat=["kauf B L A U E tulpen"])
        pool.send([manifest])
        (record,) = pool.records([manifest])
        return record if record.observations.texts[0].hits else None

    record = wait_for(found, "a worker has seen the new file")
    assert isinstance(record, Record)
    (hit,) = record.observations.texts[0].hits
    assert (hit.term, hit.surface, hit.chain) == ("blaue tulpen", "B L A U E tulpen", ("case", "spacing"))
    assert "lexicon/blaue tulpen" in [one.label for verdict in record.verdicts for one in verdict.evidence]
    with connect(pool.config) as client:
        assert len(told(client)) == len(pool.workers)


def test_an_ordinary_segment_is_allowed_and_says_that_it_was_examined(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "calm-room", chat=["大家好", "nice song", "hola a todos"])
    pool.send([manifest])
    (record,) = pool.records([manifest])
    assert {verdict.action for verdict in record.verdicts} == {"allow"}
    assert record.observations.coverage["frames"].status == "examined"
    assert record.observations.coverage["chat"].examined == 3


def test_a_missing_object_is_named_in_the_coverage_and_the_rest_is_examined(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "missing-object", chat=["hello"])
    pool.storage.delete(manifest.frames[1].key)
    pool.send([manifest])
    (record,) = pool.records([manifest])
    frames = record.observations.coverage["frames"]
    assert (frames.status, frames.reason, frames.examined, frames.total) == ("partly", why.MISSING_OBJECT, 1, 2)
    assert frames.detail == manifest.frames[1].key
    assert record.observations.coverage["chat"].status == "examined"
    assert next(v for v in record.verdicts if v.policy == "sexual").missing["frames"] == why.MISSING_OBJECT


def test_a_truncated_jpeg_and_a_text_as_audio_are_named_in_the_coverage(pool: Pool) -> None:
    manifest = store_segment(
        pool.storage, "broken-media", frames=[jpeg(1)[:400]], audio=b"this is no sound", chat=["hi"]
    )
    pool.send([manifest])
    (record,) = pool.records([manifest])
    seen = record.observations.coverage
    assert (seen["frames"].status, seen["frames"].reason) == ("not", why.UNDECODABLE)
    assert (seen["speech"].status, seen["speech"].reason) == ("not", why.UNDECODABLE)
    assert next(v for v in record.verdicts if v.policy == "sexual").action != "allow"


def test_a_segment_without_frames_audio_or_chat_is_never_called_clean(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "empty-room", frames=[])
    pool.send([manifest])
    (record,) = pool.records([manifest])
    assert {seen.reason for seen in record.observations.coverage.values()} == {why.NO_INPUT}
    assert {verdict.examined for verdict in record.verdicts} == {"not"}


def test_a_message_that_comes_twice_leaves_one_record(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "twice-room", chat=["hello again"])
    pool.send([manifest, manifest])
    (first,) = pool.records([manifest])
    pool.send([manifest])
    wait_for(pool.settled, "the lane is empty")
    assert pool.records([manifest]) == [first]


def test_a_message_that_is_no_manifest_goes_to_quarantine_and_the_pool_goes_on(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "good-neighbour", chat=["hello"])
    outside = manifest.as_message() | {"segment_id": "outside", "audio": {"key": "records/secret.json"}}
    send_bare(pool, [{"schema": "liverisk.segment", "version": 99}, outside, manifest.as_message()])
    pool.records([manifest])
    wait_for(lambda: len(quarantined(pool)) >= 2, "both bad messages are in quarantine")
    entries = {entry["name"]: entry for entry in quarantined(pool)}
    assert entries["good-neighbour/outside/live"]["reason"] == "outside_media"
    assert any(name.startswith("invalid/") and entry["reason"] == "manifest" for name, entry in entries.items())


def test_a_client_that_knows_nothing_of_us_gets_a_record(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "bare-client", chat=["hello"])
    send_bare(pool, [manifest.as_message()])
    (record,) = pool.records([manifest])
    assert record.stream_id == "bare-client"


def test_two_workers_share_one_engine_and_their_children_hold_no_model(pool: Pool) -> None:
    engine = pool.engine()
    assert engine is not None
    children = [child for worker in pool.workers[-2:] for child in pool.children(worker)]
    assert len(children) >= 2 * CHILDREN
    assert pool.engines() == [engine.pid]
    for process in (*children, *(psutil.Process(worker.pid) for worker in pool.workers[-2:])):
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        assert "libtorch" not in mapped
        assert "libctranslate2" not in mapped


def test_status_shows_lanes_workers_and_engine(pool: Pool) -> None:
    def seen() -> bool:
        shown = json.loads(pool.run("status", "--json").stdout)
        return len(shown["workers"]) == 2 and bool(shown["engines"])

    wait_for(seen, "status shows two workers and the engine", timeout_s=60)


def quarantined(pool: Pool) -> list[dict[str, str]]:
    return [json.loads(line) for line in pool.run("quarantine", "list", "--json").stdout.splitlines()]


def send_bare(pool: Pool, messages: Sequence[Mapping[str, object]]) -> None:
    """A client in a process of its own that imports Celery and nothing of this project."""
    program = (
        "import json, sys\n"
        "from celery import Celery\n"
        "from kombu import Queue\n"
        "app = Celery(broker=sys.argv[1])\n"
        "for message in json.load(sys.stdin):\n"
        "    queue = Queue('live', no_declare=True)\n"
        "    app.send_task('liverisk.classify', args=[message], queue=queue, ignore_result=True)\n"
        "assert not [name for name in sys.modules if name.split('.')[0] in ('pipelines', 'workers')]\n"
    )
    url = pool.environment["LIVERISK__BROKER__URL"]
    subprocess.run(
        [sys.executable, "-c", program, url], input=json.dumps(list(messages)), text=True, check=True, cwd="/"
    )


def test_records_lie_under_the_key_that_the_design_promises(pool: Pool) -> None:
    manifest = store_segment(pool.storage, "key-room", chat=["hello"])
    pool.send([manifest])
    pool.records([manifest])
    assert record_key_of(manifest) == f"records/date=2026-05-04/stream=key-room/{manifest.segment_id}/live.json"
