from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
from pydantic import TypeAdapter

from pipelines.manifest import AudioRef, ChatLine, ChatRef, Context, Gap, SamplerSettings
from workers.sampler.parcel import Origin, pack
from workers.sampler.segmenter import Still, Window

ORIGIN = Origin(
    "room-1",
    datetime(2026, 1, 31, 23, 59, 55, 250_000, UTC),
    SamplerSettings(segment_s=10, frame_interval_s=2),
    Context(language="zh"),
    "media/",
    "live",
)
FOLDER = "media/date=2026-02-01/stream=room-1/20260201T000005.250Z"


def window(*stills: Still, samples: int = 0, gaps: tuple[Gap, ...] = ()) -> Window:
    return Window(10, 10, stills, np.ones(samples, np.int16) if samples else None, gaps)


def test_all_frames_lie_in_one_object_and_are_found_by_range() -> None:
    parcel = pack(window(Still(0, b"one"), Still(2, b"three")), None, ORIGIN)
    [stored] = parcel.objects
    found = [stored.body[ref.offset or 0 :][: ref.length] for ref in parcel.manifest.frames]
    assert found == [b"one", b"three"]
    assert re.fullmatch(rf"{FOLDER}/frames-[0-9a-f]{{8}}\.mjpeg", stored.key)


def test_a_segment_is_named_after_the_moment_and_kept_under_its_day() -> None:
    parcel = pack(window(samples=160_000), None, ORIGIN)
    manifest, [audio] = parcel.manifest, parcel.objects
    assert manifest.segment_id == "20260201T000005.250Z"
    assert manifest.captured_at == datetime(2026, 2, 1, 0, 0, 5, 250_000, UTC)
    assert manifest.audio == AudioRef(key=audio.key)
    assert re.fullmatch(rf"{FOLDER}/audio-[0-9a-f]{{8}}\.flac", audio.key)


def test_packing_twice_gives_the_same_parcel() -> None:
    first, second = (pack(window(Still(0, b"x"), samples=16_000), (), ORIGIN) for _ in range(2))
    assert first == second


def test_the_same_moment_sampled_otherwise_overwrites_nothing() -> None:
    chat = tuple(ChatLine(at_s=1, user="u", text="x" * 4000) for _ in range(100))
    first = pack(window(Still(0, b"x"), samples=16_000), chat, ORIGIN)
    second = pack(window(Still(0, b"x"), Still(1, b"y"), samples=8_000), (*chat, *chat), ORIGIN)
    assert first.manifest.segment_id == second.manifest.segment_id
    assert {stored.key for stored in first.objects}.isdisjoint(stored.key for stored in second.objects)


def test_an_empty_window_is_a_manifest_without_objects() -> None:
    gap = Gap(from_s=0, to_s=10, reason="source dropped")
    parcel = pack(window(gaps=(gap,)), None, ORIGIN)
    assert (parcel.objects, parcel.manifest.gaps, parcel.manifest.frames) == ((), (gap,), ())


def test_no_chat_and_no_chat_source_are_not_the_same() -> None:
    assert pack(window(), (), ORIGIN).manifest.chat == ()
    assert pack(window(), None, ORIGIN).manifest.chat is None


def test_long_chat_travels_as_an_object_of_one_line_each() -> None:
    chat = tuple(ChatLine(at_s=1, user="u", text="长\u2028" * 500) for _ in range(100))
    parcel = pack(window(), chat, ORIGIN)
    [stored] = parcel.objects
    assert parcel.manifest.chat == ChatRef(key=stored.key)
    assert re.fullmatch(rf"{FOLDER}/chat-[0-9a-f]{{8}}\.jsonl", stored.key)
    lines = TypeAdapter(ChatLine)
    assert tuple(map(lines.validate_json, stored.body.decode().splitlines())) == chat
