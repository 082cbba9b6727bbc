"""A shadow beside a segment on a real store: stored, used for nothing, waited for no longer than a moment."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from pipelines.items import CheckpointRef, Item, Result
from pipelines.policies import POLICY_IDS
from pipelines.record import Record
from tests import engines
from tests.segments import store_segment
from workers.classify import Bench, classify
from workers.config import Config
from workers.decoder.contained import Contained
from workers.engine.batching import Batcher
from workers.engine.engine import Engine
from workers.engine.handles import Handle
from workers.records import canonical, read_record, record_key_of
from workers.storage import Storage

CALM, WILD = dict.fromkeys(POLICY_IDS, 0.001), dict.fromkeys(POLICY_IDS, 0.999)


@pytest.fixture
def bench(config: Config, storage: Storage, decoder: Contained) -> Iterator[Bench]:
    opened = Bench.open(config, decoder=decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()
    for key in list(storage.keys("")):
        storage.delete(key)


def loaded(**beside: engines.Predict) -> Engine:
    """The four slots, calm; `text` and `vision` say who is tried beside."""
    engine = engines.engine(
        {
            "vision.nudity": ("open-nsfw", engines.calm({"nsfw": 0.01, "sfw": 0.99})),
            "speech": ("whisper-base", engines.silent),
            "ocr": ("pp-ocrv6", engines.textless),
            "text.risk": ("e5-small-risk", engines.calm(CALM)),
        }
    )
    for slot, predict in (("text.risk", beside.get("text")), ("vision.nudity", beside.get("vision"))):
        if predict is not None:
            ref = CheckpointRef(id="beside", digest="b" * 64, session="function")
            handle = Handle(ref, Batcher(predict, name=slot, max_batch=4), 0, 0)
            engine.rearrange(slot, replace(engine.places[slot], shadow=handle))
    return engine


def examined(bench: Bench, storage: Storage, stream: str, engine: Engine) -> Record:
    manifest = store_segment(storage, stream, chat=["hello", "how are you"])
    with engines.serving(bench.config, lambda: engine):
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"
    return read_record(storage, record_key_of(manifest))


def test_a_shadow_changes_nothing_of_a_record_but_its_own_block(bench: Bench, storage: Storage) -> None:
    plain = examined(bench, storage, "room", loaded())
    storage.delete(record_key_of(store_segment(storage, "room", chat=["hello", "how are you"])))
    bench.redis.flushdb()
    with_shadow = examined(
        bench, storage, "room", loaded(text=engines.calm(WILD), vision=engines.calm({"nsfw": 0.99, "sfw": 0.01}))
    )
    assert set(with_shadow.shadow) == {"text.risk", "vision.nudity"}
    clocks = plain.processing
    same = with_shadow.model_copy(update={"shadow": {}, "processing": clocks})
    assert canonical(same) == canonical(plain)
    assert with_shadow.shadow["text.risk"].texts == (WILD,) * len(plain.observations.texts)
    assert with_shadow.shadow["vision.nudity"].frames == ({"nsfw": 0.99, "sfw": 0.01},) * 2
    assert {verdict.action for verdict in with_shadow.verdicts} == {"allow"}


def test_a_shadow_that_hangs_costs_a_segment_a_moment_and_is_counted(bench: Bench, storage: Storage) -> None:
    release = threading.Event()

    def hang(items: Sequence[Item]) -> Sequence[Result]:
        assert release.wait(20)
        return engines.calm(WILD)(items)

    engine = loaded(text=hang)
    manifest = store_segment(storage, "room", chat=["hello"])
    with engines.serving(bench.config, lambda: engine):
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"
        release.set()
    stored = json.loads(storage.get(record_key_of(manifest)))
    assert stored["shadow"]["text.risk"]["left_out"] == 1
    assert "texts" not in stored["shadow"]["text.risk"]


def test_a_shadow_that_fails_everything_is_counted_and_the_engine_stays(bench: Bench, storage: Storage) -> None:
    def fails(items: Sequence[Item]) -> Sequence[Result]:
        raise MemoryError

    engine = loaded(text=fails)
    record = examined(bench, storage, "room", engine)
    assert record.shadow["text.risk"].texts == ()
    assert engine.broken_slot() is None
