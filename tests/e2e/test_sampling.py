"""Recordings and live-paced streams from the sampler to their records, through the real pool."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipelines.record import Record
from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.recordings import AUDIO, PATTERN, VIDEO, ffmpeg, recording
from workers.demo.programme import STREAM_FILE
from workers.records import read_record, record_keys

LATENCY = re.compile(r"^\d+ segments: .* segment end to record p50 \d+\.\d s, p95 \d+\.\d s$", re.MULTILINE)

pytestmark = pytest.mark.timeout(400)


def sampled(pool: Pool, source: Path, stream: str, *options: str) -> list[str]:
    """Runs `liverisk sample` to its end; the ids of the segments that it queued."""
    done = pool.run("sample", str(source), "--stream", stream, "--json", *options)
    assert done.returncode == 0, done.stderr
    *segments, summary = map(json.loads, done.stdout.splitlines())
    assert summary["segments"] == len(segments)
    return [segment["segment_id"] for segment in segments]


def finished(pool: Pool, stream: str, segments: list[str]) -> list[Record]:
    """All records of the stream, in order, once nothing of it can be on its way any more."""

    def settled() -> bool:
        return pool.settled() and len(keys()) >= len(segments)

    def keys() -> list[str]:
        return list(record_keys(pool.storage, stream_id=stream))

    wait_for(settled, "every segment has its record and the lane is empty", timeout_s=240)
    records = [read_record(pool.storage, key) for key in keys()]
    assert [record.segment_id for record in records] == segments
    return records


def speaking(path: Path, *, seconds: int) -> Path:
    """A test pattern over the voice of the bundled stream."""
    ffmpeg(*PATTERN, "-i", STREAM_FILE, "-map", "0:v", "-map", "1:a", "-t", f"{seconds}", *VIDEO, *AUDIO, path)
    return path


def test_every_window_of_a_recording_ends_as_one_record(pool: Pool, tmp_path: Path) -> None:
    segments = sampled(pool, recording(tmp_path / "video.mp4", seconds=30), "recorded")
    assert len(segments) == 3
    for record in finished(pool, "recorded", segments):
        assert record.duration_s == pytest.approx(10, abs=0.2)
        assert {name: seen.status for name, seen in record.observations.coverage.items() if name != "chat"} == {
            "frames": "examined",
            "speech": "examined",
            "screen": "examined",
        }


def test_the_records_of_a_recording_can_be_read_as_verdicts(pool: Pool, tmp_path: Path) -> None:
    segments = sampled(
        pool, recording(tmp_path / "video.mp4", seconds=30), "readable", "--start", "2026-01-31T12:00:00Z"
    )
    finished(pool, "readable", segments)
    shown = pool.run("verdicts", "show", "readable")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("stream readable, run current, 2026-01-31 12:00:00Z to 2026-01-31 12:00:30Z\n")
    for second in (0, 10, 20):
        assert f"2026-01-31 12:00:{second:02}" in shown.stdout.partition("\n")[2]


def test_an_hls_playlist_ends_as_records_without_gaps(pool: Pool, tmp_path: Path) -> None:
    playlist = recording(tmp_path / "index.m3u8", seconds=30, more=("-hls_time", "2", "-hls_list_size", "0"))
    segments = sampled(pool, playlist, "playlist")
    assert len(segments) == 3
    assert [record.gaps for record in finished(pool, "playlist", segments)] == [(), (), ()]


def test_a_recording_that_is_sampled_twice_has_its_records_once(pool: Pool, tmp_path: Path) -> None:
    source = recording(tmp_path / "video.mp4", seconds=20)
    segments = sampled(pool, source, "sampled-twice")
    first = finished(pool, "sampled-twice", segments)
    assert sampled(pool, source, "sampled-twice") == []
    assert finished(pool, "sampled-twice", segments) == first


def test_a_live_paced_stream_is_heard_and_its_latency_is_told(pool: Pool, tmp_path: Path) -> None:
    segments = sampled(pool, speaking(tmp_path / "live.mp4", seconds=30), "live-paced", "--follow")
    assert len(segments) == 3
    records = finished(pool, "live-paced", segments)
    assert all(record.processing.latency_s > 0 for record in records)
    assert all(record.observations.speech and record.observations.speech.speech_s > 0 for record in records)
    assert LATENCY.search(pool.run("verdicts", "show", "live-paced").stdout)
