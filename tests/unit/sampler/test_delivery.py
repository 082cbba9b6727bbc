"""What delivery does with a store that fails on demand; real ones are in the integration tests."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import cast

from pipelines.manifest import Context, SamplerSettings, SegmentManifest
from workers.publish import Publisher
from workers.sampler.delivery import Delivery, DeliveryError
from workers.sampler.parcel import Origin
from workers.sampler.report import SegmentReport
from workers.sampler.segmenter import Still, Window
from workers.storage import Storage, StorageError

ORIGIN = Origin(
    "room",
    datetime(2026, 1, 31, tzinfo=UTC),
    SamplerSettings(segment_s=10, frame_interval_s=2),
    Context(),
    "media/",
    "live",
)


class Shaky:
    """Fails the puts whose turn it is; keeps the order of what was stored and sent."""

    def __init__(self, failing: set[int]) -> None:
        self.failing = failing
        self.turn = 0
        self.log: list[str] = []

    def put(self, key: str, body: bytes, *, content_type: str) -> None:
        self.turn += 1
        if self.turn in self.failing:
            raise StorageError("put: SlowDown")
        self.log.append(f"put {body.decode()}")

    def exists(self, key: str) -> bool:
        return False

    def send(self, manifest: SegmentManifest, lane: str, *, live: bool) -> None:
        self.log.append("send")


def delivered(
    failing: set[int], *, segments: int, patience_s: float, origin: Origin = ORIGIN
) -> tuple[Shaky, list[SegmentReport], str]:
    shaky, reports, said = Shaky(failing), list[SegmentReport](), ""
    with Delivery(
        cast(Storage, shaky),
        cast(Publisher, shaky),
        "live",
        live=False,
        patience_s=patience_s,
        stop=threading.Event(),
        report=reports.append,
    ) as delivery:
        try:
            for index in range(segments):
                delivery.put(Window(index * 10, 10, (Still(0, b"%d" % index),), None, ()), None, origin)
            delivery.finish()
        except DeliveryError as error:
            said = str(error)
    return shaky, reports, said


def test_media_are_stored_before_the_segment_is_queued_and_order_is_kept() -> None:
    shaky, reports, _ = delivered(set(), segments=6, patience_s=0)
    assert shaky.log[::2] == [f"put {index}" for index in range(6)]
    assert shaky.log[1::2] == ["send"] * 6
    assert [report.segment_id[9:15] for report in reports] == [f"0000{index}0" for index in range(6)]


def test_a_store_that_fails_for_a_while_loses_nothing() -> None:
    shaky, reports, said = delivered({2, 3}, segments=3, patience_s=30)
    assert (len(reports), said) == (3, "")
    assert [entry for entry in shaky.log if entry.startswith("put")] == ["put 0", "put 1", "put 2"]


def test_the_first_segment_is_not_tried_twice() -> None:
    shaky, reports, said = delivered({1}, segments=1, patience_s=30)
    assert (shaky.log, reports) == ([], [])
    assert said == "segment 20260131T000000.000Z: put: SlowDown"


def test_nothing_is_queued_after_a_segment_that_could_not_be() -> None:
    shaky, reports, said = delivered({2}, segments=6, patience_s=0)
    assert len(reports) == 1
    assert shaky.log == ["put 0", "send"]
    assert "20260131T000010.000Z" in said


def test_a_moment_that_no_manifest_can_carry_is_said_in_one_line() -> None:
    late = replace(ORIGIN, start=datetime(9999, 12, 31, 23, 59, 55, tzinfo=timezone(-timedelta(hours=14))))
    shaky, reports, said = delivered(set(), segments=3, patience_s=30, origin=late)
    assert (shaky.log, reports) == ([], [])
    assert (said.split(":")[0], "\n" in said) == ("segment at 0 s", False)
