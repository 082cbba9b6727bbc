"""A review's whole way in one process: a live finding asks, the feeder plans and feeds, deep finds more, a packet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import pytest

from pipelines.items import Item, Line, Picture, Result, Scores
from tests import engines
from tests.runs import work_off
from tests.segments import store_segment
from workers.classify import Bench, classify
from workers.config import Config, Review
from workers.decoder.contained import Contained
from workers.runs.feeder import Feeder
from workers.runs.packet import page_key, read_packet
from workers.runs.store import Runs
from workers.storage import Storage

MARK = 123
"""Grey value of the corner by which the model below knows what it should find."""


def still(mark: int = 120) -> bytes:
    """A grey card whose corner differs by too little for a live look to score it again."""
    card = np.full((160, 160, 3), 120, np.uint8)
    card[:8, :8] = mark
    return cv2.imencode(".png", card)[1].tobytes()


def by_the_corner(items: Sequence[Item]) -> Sequence[Result]:
    found = [isinstance(item, Picture) and item.pixels[0, 0, 0] == MARK for item in items]
    return [Scores(labels={"nsfw": 0.99 if seen else 0.01, "sfw": 0.01 if seen else 0.99}) for seen in found]


def by_the_word(items: Sequence[Item]) -> Sequence[Result]:
    lured = [isinstance(item, Line) and "add me" in item.text for item in items]
    return [Scores(labels={"scam": 0.99 if seen else 0.01}) for seen in lured]


@pytest.fixture
def bench(config: Config, storage: Storage, decoder: Contained) -> Iterator[Bench]:
    """Reviews need not wait for the stream to go on."""
    opened = Bench.open(config.model_copy(update={"review": Review(before_s=60, after_s=0)}), decoder=decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()


def test_a_live_finding_ends_in_a_packet_that_says_what_live_had_missed(bench: Bench, storage: Storage) -> None:
    runs, feeder = Runs(storage), Feeder(bench.config)
    slots = {"vision.nudity": ("open-nsfw", by_the_corner), "text.risk": ("e5-small-risk", by_the_word)}
    manifest = store_segment(storage, "room", frames=[still(), still(MARK)], chat=["add me on the other app"])

    with engines.serving(bench.config, lambda: engines.engine(slots)):
        classify(manifest.as_message(), bench, lane="live")
        (run,) = runs.open()
        work_off(feeder, bench, runs, "review")
    feeder.close()

    packet = read_packet(storage, run)
    assert (runs.state(run), packet.by, packet.reviewed) == ("finished", "fusion", 1)
    assert [(one.kind, one.policy) for one in packet.found] == [("flagged", "sexual")]
    assert [(picture.frame.at_s, picture.missed) for picture in packet.pictures] == [(5.0, True)]
    assert [[hit.policy for hit in text.hits if not hit.missed] for text in packet.texts] == [["scam"]]
    assert "Sexual content in 1 segment" in storage.get(page_key(run)).decode()
