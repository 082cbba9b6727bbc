"""Batches of a rescan: small enough for one message, and with streams apart where that is cheap."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.policies import read_policies
from tests.records import START
from workers.runs.planning import Tally, Target, batches_of
from workers.runs.selection import Chosen

TARGET = Target(read_policies(), {})


def segments(**streams: int) -> Iterator[Chosen]:
    for stream_id, count in streams.items():
        for number in range(count):
            yield Chosen(
                key=f"records/date=2026-03-10/stream={stream_id}/{number:03d}/live.json",
                stream_id=stream_id,
                segment_id=f"{number:03d}",
                captured_at=START,
                checkpoints={},
                policy_digest="0" * 64,
                without_input=frozenset(),
                cut_short=frozenset(),
                has_texts=False,
                stage_ms={},
            )


def sizes(**streams: int) -> list[int]:
    return [len(batch) for batch in batches_of(segments(**streams), TARGET, Tally())]


def test_a_long_stream_is_cut_into_full_batches() -> None:
    assert sizes(a=150) == [60, 60, 30]


def test_a_batch_that_is_half_full_ends_with_its_stream() -> None:
    assert sizes(a=38, b=38, c=38) == [38, 38, 38]
    assert sizes(a=90, b=40) == [60, 30, 40]


def test_short_streams_share_a_batch() -> None:
    assert sizes(a=10, b=10, c=10, d=10) == [30, 10]
    assert sizes(a=29, b=40) == [60, 9]


def test_nothing_selected_makes_no_batch() -> None:
    assert sizes() == []


def test_every_segment_is_in_one_batch_in_its_order() -> None:
    keys = [item.source for batch in batches_of(segments(a=70, b=5, c=100), TARGET, Tally()) for item in batch]
    assert keys == [one.key for one in segments(a=70, b=5, c=100)]
