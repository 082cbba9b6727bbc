"""One message to its end, on a real store and a real Valkey; the models are functions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import redis

from pipelines.items import Item, Result
from pipelines.manifest import FrameRef, parse_manifest
from pipelines.policies import POLICY_IDS
from tests import engines, hostile
from tests.segments import jpeg, store_segment
from workers import quarantine
from workers.classify import Bench, StillRunning, classify
from workers.config import Config, Worker
from workers.decoder.contained import Contained, DecoderUnavailable
from workers.engine.errors import EngineUnavailable
from workers.lanes import Lane
from workers.publish import Publisher
from workers.recent import summary
from workers.records import read_record, record_key_of, record_keys
from workers.runs.store import Runs
from workers.storage import Storage

CALM = dict.fromkeys(POLICY_IDS, 0.001)


def slots(**changed: engines.Predict) -> dict[str, tuple[str, engines.Predict]]:
    return {
        "vision.nudity": ("open-nsfw", changed.get("vision", engines.calm({"nsfw": 0.01, "sfw": 0.99}))),
        "speech": ("whisper-base", changed.get("speech", engines.silent)),
        "ocr": ("pp-ocrv6", changed.get("ocr", engines.textless)),
        "text.risk": ("e5-small-risk", changed.get("text", engines.calm(CALM))),
    }


@pytest.fixture
def bench(config: Config, storage: Storage, decoder: Contained) -> Iterator[Bench]:
    quick = Worker(deadline_s=5, soft_time_limit_s=10, time_limit_s=15, max_attempts=2)
    opened = Bench.open(config.model_copy(update={"worker": quick}), decoder=decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()


def test_a_segment_is_recorded_once_and_known_the_second_time(bench: Bench, storage: Storage) -> None:
    message = store_segment(storage, "room", chat=["hello"]).as_message()
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        assert classify(message, bench, lane="live") == "recorded"
    # No engine is left: what is known needs none.
    assert classify(message, bench, lane="live") == "known"
    assert len(list(record_keys(storage, stream_id="room"))) == 1


def test_a_known_segment_gives_the_streams_history_back_what_a_crash_took(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room", chat=["hello"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(manifest.as_message(), bench, lane="live")
    remembered = bench.state.history("room", "live")
    bench.redis.flushdb()
    classify(manifest.as_message(), bench, lane="live")
    assert bench.state.history("room", "live") == remembered != {}


def test_a_segment_that_keeps_dying_ends_in_quarantine_with_its_starts(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room", chat=["hello"])
    name = quarantine.segment_name(manifest)
    for _ in range(2):  # as two children that died with it
        bench.state.start_attempt(name)
    assert classify(manifest.as_message(), bench, lane="live") == "quarantined"
    entry = quarantine.read_entry(storage, name)
    assert (entry.reason, entry.attempts) == ("crashed", 2)
    assert parse_manifest(entry.message) == manifest
    assert not storage.exists(record_key_of(manifest))


def test_an_engine_that_is_away_is_not_the_segments_fault(bench: Bench, storage: Storage) -> None:
    quick = bench.config.worker.model_copy(update={"deadline_s": 0.2})
    object.__setattr__(bench, "config", bench.config.model_copy(update={"worker": quick}))
    manifest = store_segment(storage, "room", chat=["hello"])
    for _ in range(4):
        with pytest.raises(EngineUnavailable):
            classify(manifest.as_message(), bench, lane="live")
    assert bench.state.start_attempt(quarantine.segment_name(manifest)) == 1


def test_an_unexpected_failure_counts_and_its_place_is_kept_for_the_quarantine(
    bench: Bench, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("may quote what was said")

    manifest = store_segment(storage, "room", chat=["hello"])
    monkeypatch.setattr("workers.look.fetch_segment", broken)
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                classify(manifest.as_message(), bench, lane="live")
        assert classify(manifest.as_message(), bench, lane="live") == "quarantined"
    detail = quarantine.read_entry(storage, quarantine.segment_name(manifest)).detail
    assert "ZeroDivisionError at test_classify.py:" in detail
    assert "quote" not in detail


def test_a_model_that_fails_leaves_a_record_that_does_not_say_allow(bench: Bench, storage: Storage) -> None:
    def fails(items: Sequence[Item]) -> Sequence[Result]:
        raise MemoryError

    manifest = store_segment(storage, "room", chat=["hello"])
    with engines.serving(bench.config, lambda: engines.engine(slots(vision=fails))):
        classify(manifest.as_message(), bench, lane="live")
    verdicts = {verdict.policy: verdict for verdict in read_record(storage, record_key_of(manifest)).verdicts}
    assert verdicts["sexual"].missing == {"frames": "model_failed"}
    assert verdicts["sexual"].action != "allow"


def test_a_persistent_risk_is_acted_on_in_whatever_order_its_segments_come(bench: Bench, storage: Storage) -> None:
    risky = {**CALM, "scam": 0.999}
    manifests = [store_segment(storage, "room", number, chat=["pay first"]) for number in range(4)]
    with engines.serving(bench.config, lambda: engines.engine(slots(text=engines.calm(risky)))):
        for number in (1, 0, 2, 1, 3):
            classify(manifests[number].as_message(), bench, lane="live")
    last = read_record(storage, record_key_of(manifests[3]))
    assert next(verdict for verdict in last.verdicts if verdict.policy == "scam").action == "act"
    assert len(bench.state.history("room", "live")) == 4


def test_an_object_outside_the_media_prefix_is_never_fetched(bench: Bench, storage: Storage) -> None:
    storage.put("records/secret", b"not for you")
    message = store_segment(storage, "room").as_message() | {"audio": {"key": "records/secret"}}
    assert classify(message, bench, lane="live") == "quarantined"
    ((_, entry),) = quarantine.entries(storage)
    assert entry.reason == "outside_media"


def nested(depth: int) -> object:
    message: object = 1
    for _ in range(depth):
        message = [message]
    return message


@pytest.mark.parametrize(
    "message",
    [
        None,
        7,
        float("nan"),
        "text",
        [],
        {},
        {"schema": "liverisk.segment", "version": 2},
        {"chat": "half a pair: \ud800"},
        {"chat": "x" * 600_000},
        nested(300),
    ],
    ids=["null", "number", "nan", "text", "list", "empty", "version", "surrogate", "oversize", "nested"],
)
def test_a_message_that_is_no_manifest_is_put_aside_whatever_it_is(
    bench: Bench, storage: Storage, message: object
) -> None:
    assert classify(message, bench, lane="review") == "quarantined"  # type: ignore[arg-type]  # anything may be sent
    ((name, entry),) = quarantine.entries(storage)
    assert name.startswith("invalid/")
    assert (entry.reason, entry.lane, entry.message) == ("manifest", "review", json.dumps(message))


def test_copies_of_a_segment_that_is_being_worked_on_are_no_crash(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room", chat=["hello"])
    name = quarantine.segment_name(manifest)
    for _ in range(2):  # as two children that are at it
        bench.state.start_attempt(name)
    bench.state.note_running(name, 60)
    with pytest.raises(StillRunning):
        classify(manifest.as_message(), bench, lane="live")
    assert list(quarantine.entries(storage)) == []
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        bench.state.forget_attempts(name)
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"


def test_a_frame_range_past_the_end_of_its_object_is_named_in_the_coverage(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(1)])
    past = FrameRef(at_s=0, key=manifest.frames[0].key, offset=10_000_000, length=100)
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(manifest.model_copy(update={"frames": (past,)}).as_message(), bench, lane="live")
    frames = read_record(storage, record_key_of(manifest)).observations.coverage["frames"]
    assert (frames.status, frames.reason) == ("not", "undecodable")


def test_a_record_that_this_version_cannot_read_is_left_alone(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room")
    storage.put(record_key_of(manifest), b"{}")
    assert classify(manifest.as_message(), bench, lane="live") == "known"
    assert storage.get(record_key_of(manifest)) == b"{}"


def test_a_quarantined_segment_is_sent_again_with_its_starts_forgotten(
    bench: Bench, storage: Storage, broker: redis.Redis
) -> None:
    manifest = store_segment(storage, "room", chat=["hello"])
    name = quarantine.segment_name(manifest)
    quarantine.put_aside(storage, manifest.as_message(), reason="crashed", detail="2 starts", lane="rescan")
    bench.state.start_attempt(name)
    with Publisher(bench.config) as publisher:
        assert quarantine.retry(name, storage, bench.state, publisher, "media/") == manifest
    assert broker.llen("rescan") == 1
    assert bench.state.start_attempt(name) == 1
    assert list(quarantine.entries(storage)) == []


def test_nothing_that_a_segment_leaves_in_the_broker_is_kept_for_ever(
    bench: Bench, storage: Storage, broker: redis.Redis
) -> None:
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(store_segment(storage, "room", chat=["hello"]).as_message(), bench, lane="live")
    keys = broker.keys("*")
    assert isinstance(keys, list)
    assert keys
    assert all(broker.ttl(key) > 0 for key in keys)


def test_a_live_segment_that_waited_is_examined_in_less_depth_and_says_so(bench: Bench, storage: Storage) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(seed) for seed in range(5)], audio=b"", chat=["hello"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(manifest.as_message(), bench, lane="live", waited_s=bench.config.overload.thin_after_s + 1)
    record = read_record(storage, record_key_of(manifest))
    coverage = record.observations.coverage
    assert (coverage["frames"].status, coverage["frames"].reason, coverage["frames"].examined) == ("partly", "shed", 2)
    assert (coverage["speech"].status, coverage["speech"].reason) == ("not", "shed")
    assert coverage["chat"].status == "examined"
    assert (record.settings["max_frames"], record.settings["hear_speech"]) == (2, False)


def test_a_live_segment_that_waited_too_long_is_recorded_as_not_examined_without_an_engine(
    bench: Bench, storage: Storage
) -> None:
    manifest = store_segment(storage, "room", audio=b"", chat=["hello"])
    waited_s = bench.config.overload.shed_after_s + 1
    assert classify(manifest.as_message(), bench, lane="live", waited_s=waited_s) == "recorded"
    record = read_record(storage, record_key_of(manifest))
    assert {(seen.status, seen.reason) for seen in record.observations.coverage.values()} == {("not", "shed")}
    assert record.observations.checkpoints == {}
    assert {(verdict.action, verdict.examined) for verdict in record.verdicts} == {("watch", "not")}
    assert bench.state.history("room", "live") == {manifest.captured_at.timestamp(): {}}


@pytest.mark.parametrize(("lane", "waited_s"), [("live", 29), ("review", 1000), ("rescan", 1000)])
def test_on_time_or_with_time_a_segment_is_examined_whole(
    bench: Bench, storage: Storage, lane: Lane, waited_s: float
) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(seed) for seed in range(5)], chat=["hello"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(manifest.as_message(), bench, lane=lane, waited_s=waited_s)
    assert read_record(storage, record_key_of(manifest)).observations.coverage["frames"].status == "examined"


def test_a_finding_asks_for_a_deep_review_once_however_often_its_segment_comes(bench: Bench, storage: Storage) -> None:
    message = store_segment(storage, "room", chat=["pay first"]).as_message()
    with engines.serving(bench.config, lambda: engines.engine(slots(text=engines.calm({**CALM, "scam": 0.95})))):
        for _ in range(2):
            classify(message, bench, lane="live")
    (run,) = Runs(storage).open()
    request = Runs(storage).request(run)
    assert request is not None
    assert (request.stream_id, request.policies) == ("room", ("scam",))


def test_a_calm_segment_asks_for_no_review(bench: Bench, storage: Storage) -> None:
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        classify(store_segment(storage, "room", chat=["hello"]).as_message(), bench, lane="live")
    assert list(Runs(storage).open()) == []


def test_hostile_media_end_as_a_record_that_names_them_and_holds_what_was_beside(
    bench: Bench, storage: Storage
) -> None:
    frames = [jpeg(1), hostile.png_bomb(), hostile.gif_bomb(), jpeg(2)]
    sound = hostile.playlist("file:///etc/passwd")
    manifest = store_segment(storage, "room", frames=frames, audio=sound, chat=["hello"])
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"
    seen = read_record(storage, record_key_of(manifest)).observations.coverage
    assert (seen["frames"].status, seen["frames"].examined, seen["frames"].reason) == ("partly", 2, "undecodable")
    assert (seen["speech"].status, seen["speech"].detail) == ("not", f"audio of {len(sound)} bytes: unknown format")


def test_that_no_decoder_starts_puts_the_segment_back_and_does_not_count(bench: Bench, storage: Storage) -> None:
    object.__setattr__(bench, "decoder", Contained(bench.config.decode, (sys.executable, "-c", "raise SystemExit(3)")))
    manifest = store_segment(storage, "room")
    for _ in range(3):
        with (
            engines.serving(bench.config, lambda: engines.engine(slots())),
            pytest.raises(DecoderUnavailable),
        ):
            classify(manifest.as_message(), bench, lane="live")
    assert bench.state.start_attempt(quarantine.segment_name(manifest)) == 1


def test_a_segment_from_a_clock_that_is_a_day_ahead_is_recorded_and_leaves_the_streams_present_alone(
    bench: Bench, storage: Storage
) -> None:
    risky = dict(CALM) | {"scam": 0.999}
    present = store_segment(storage, "room", chat=["hello"])
    ahead = present.model_copy(update={"segment_id": "ahead", "captured_at": datetime.now(UTC) + timedelta(days=1)})
    with engines.serving(bench.config, lambda: engines.engine(slots(text=engines.calm(risky)))):
        assert classify(ahead.as_message(), bench, lane="live") == "recorded"
    with engines.serving(bench.config, lambda: engines.engine(slots())):
        assert classify(present.as_message(), bench, lane="live") == "recorded"
    found = read_record(storage, record_key_of(present))
    assert {verdict.action for verdict in found.verdicts if verdict.policy == "scam"} == {"allow"}
    noted = summary(bench.redis)
    assert noted is not None
    assert noted.latency_s is not None
    assert noted.latency_s.p50 >= 0
