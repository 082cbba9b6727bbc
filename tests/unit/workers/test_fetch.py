"""Media as strangers leave them: what is too large is named in coverage and never read."""

from __future__ import annotations

import sys
import wave
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from pipelines import coverage as why
from pipelines.decode import InProcess
from pipelines.manifest import AudioRef, ChatRef, FrameRef, SegmentManifest
from pipelines.media import DecodeLimits
from pipelines.record import STAGES, Stage
from tests.broken_helper import PROGRAM
from tests.hostile import picture
from workers.decoder.contained import Contained
from workers.fetch import MAX_CHAT_BYTES, fetch_segment
from workers.score import Folder

MAX_AUDIO_BYTES, MAX_FRAMES_BYTES = DecodeLimits().max_audio_bytes, DecodeLimits().max_frames_bytes


def manifest(**media: object) -> SegmentManifest:
    known = {"schema": "liverisk.segment", "version": 1, "stream_id": "room", "segment_id": "one"}
    return SegmentManifest.model_validate(
        {**known, "captured_at": datetime(2026, 1, 1, tzinfo=UTC), "duration_s": 10, **media}
    )


def sparse(path: Path, size: int) -> None:
    """A file of so many bytes that takes no room."""
    with path.open("wb") as file:
        file.truncate(size)


def test_audio_and_chat_that_are_too_large_are_named_and_not_read(tmp_path: Path) -> None:
    sparse(tmp_path / "audio", MAX_AUDIO_BYTES + 1)
    sparse(tmp_path / "chat", MAX_CHAT_BYTES + 1)
    message = manifest(audio=AudioRef(key="audio"), chat=ChatRef(key="chat"))
    segment = fetch_segment(message, Folder(tmp_path), decoder=InProcess(), max_side_px=640)
    assert (segment.audio, segment.chat) == (None, None)
    assert {problem.reason for problem in segment.problems.values()} == {why.UNDECODABLE}
    assert segment.problems["speech"].detail == f"audio: {MAX_AUDIO_BYTES + 1} bytes, more than {MAX_AUDIO_BYTES}"
    assert segment.problems["speech"].total == 10


def test_frames_too_far_apart_in_one_object_are_named_and_others_are_decoded(tmp_path: Path) -> None:
    sparse(tmp_path / "packed", MAX_FRAMES_BYTES + 10)
    Image.new("RGB", (64, 48)).save(tmp_path / "whole.png")
    frames = [
        FrameRef(at_s=0, key="packed", offset=0, length=5),
        FrameRef(at_s=2, key="packed", offset=MAX_FRAMES_BYTES + 5, length=5),
        FrameRef(at_s=4, key="whole.png"),
    ]
    segment = fetch_segment(manifest(frames=frames), Folder(tmp_path), decoder=InProcess(), max_side_px=640)
    assert [frame.problem.reason if frame.problem else None for frame in segment.frames] == [why.UNDECODABLE] * 2 + [
        None
    ]


def wav(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(bytes(2 * round(seconds * 16_000)))


@pytest.mark.parametrize(
    ("stages", "frames", "audio"),
    [
        (("frames",), 1, False),
        (("screen",), 1, False),
        (("speech",), 0, True),
        (("text",), 0, False),
        (STAGES, 1, True),
    ],
)
def test_only_media_that_the_stages_look_at_are_fetched(
    tmp_path: Path, stages: tuple[Stage, ...], frames: int, audio: bool
) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "frame.png")
    wav(tmp_path / "audio", 10)
    message = manifest(frames=[FrameRef(at_s=0, key="frame.png")], audio=AudioRef(key="audio"))
    segment = fetch_segment(message, Folder(tmp_path), decoder=InProcess(), max_side_px=640, stages=stages)
    assert (len(segment.frames), segment.audio is not None) == (frames, audio)
    assert segment.problems == {}


def test_a_neighbours_audio_comes_along_and_its_absence_is_no_finding(tmp_path: Path) -> None:
    wav(tmp_path / "audio", 10)
    wav(tmp_path / "before", 3)
    segment = fetch_segment(
        manifest(audio=AudioRef(key="audio")),
        Folder(tmp_path),
        decoder=InProcess(),
        max_side_px=640,
        audio_before="before",
        audio_after="expired",
    )
    assert segment.audio_before is not None
    assert segment.audio_before.size == 48_000
    assert segment.audio_after is None
    assert segment.problems == {}


def test_a_hostile_frame_is_named_and_those_beside_it_are_decoded(tmp_path: Path) -> None:
    for index, content in enumerate((picture(size=(64, 48)), b"crash", picture(size=(64, 48)))):
        (tmp_path / str(index)).write_bytes(content)
    wav(tmp_path / "audio", 10)
    message = manifest(frames=[FrameRef(at_s=at_s, key=str(at_s)) for at_s in range(3)], audio=AudioRef(key="audio"))
    with Contained(DecodeLimits(), PROGRAM) as decoder:
        segment = fetch_segment(message, Folder(tmp_path), decoder=decoder, max_side_px=640)
    problems = [frame.problem.reason if frame.problem else None for frame in segment.frames]
    assert problems == [None, why.DECODE_CRASH, None]
    assert segment.audio is not None
    assert segment.problems == {}


def test_sound_that_hangs_its_decoder_is_named_with_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "audio").write_bytes(b"OggS")
    with Contained(DecodeLimits(timeout_s=0.2), (sys.executable, "-c", DEAF)) as decoder:
        segment = fetch_segment(
            manifest(audio=AudioRef(key="audio")), Folder(tmp_path), decoder=decoder, max_side_px=640
        )
    assert segment.problems["speech"].reason == why.DECODE_TIMEOUT
    assert segment.problems["speech"].detail == "audio of 4 bytes: not decoded in 0.2 s"
    assert segment.problems["speech"].total == 10


DEAF = """
import time
from pipelines import decode
from workers.decoder import helper
real = decode.decode_samples
decode.decode_samples = lambda data, **how: time.sleep(3600) if data == b"OggS" else real(data, **how)
helper.main()
"""
