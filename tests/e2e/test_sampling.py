"""Recordings and live-paced streams from the sampler to their records, through the real pool."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.record import Record
from tests.conftest import wait_for
from tests.e2e.conftest import Pool
from tests.recordings import AUDIO, PATTERN, VIDEO, ffmpeg, recording
from workers.demo.programme import STREAM_FILE
from workers.records import read_record, record_keys

BEGINS = ("--start", "2026-01-31T12:00:00Z")
LATENCY = re.compile(r"^\d+ segments: .* segment end to record p50 \d+\.\d s, p95 \d+\.\d s$", re.MULTILINE)

pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Recorded:
    """A recording and the ids of its segments."""

    source: Path
    segments: list[str]


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


@pytest.fixture(scope="module")
def recorded(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Thirty seconds, sampled once."""
    source = recording(tmp_path_factory.mktemp("recorded") / "video.mp4", seconds=30)
    return Recorded(source, sampled(pool, source, "recorded", *BEGINS))


def test_every_window_of_a_recording_ends_as_one_record(pool: Pool, recorded: Recorded) -> None:
    assert len(recorded.segments) == 3
    for record in finished(pool, "recorded", recorded.segments):
        assert record.duration_s == pytest.approx(10, abs=0.2)
        assert {name: seen.status for name, seen in record.observations.coverage.items() if name != "chat"} == {
            "frames": "examined",
            "speech": "examined",
            "screen": "examined",
        }


def test_the_records_of_a_recording_can_be_read_as_verdicts(pool: Pool, recorded: Recorded) -> None:
    finished(pool, "recorded", recorded.segments)
    shown = pool.run("verdicts", "show", "recorded")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("stream recorded, run current, 2026-01-31 12:00:00Z to 2026-01-31 12:00:30Z\n")
    for second in (0, 10, 20):
        assert f"2026-01-31 12:00:{second:02}" in shown.stdout.partition("\n")[2]


def test_a_recording_that_is_sampled_twice_has_its_records_once(pool: Pool, recorded: Recorded) -> None:
    first = finished(pool, "recorded", recorded.segments)
    assert sampled(pool, recorded.source, "recorded", *BEGINS) == []
    assert finished(pool, "recorded", recorded.segments) == first


def test_an_hls_playlist_ends_as_records_without_gaps(pool: Pool, tmp_path: Path) -> None:
    playlist = recording(tmp_path / "index.m3u8", seconds=30, more=("-hls_time", "2", "-hls_list_size", "0"))
    segments = sampled(pool, playlist, "playlist")
    assert len(segments) == 3
    assert [record.gaps for record in finished(pool, "playlist", segments)] == [(), (), ()]


def test_a_live_paced_stream_is_heard_and_its_latency_is_told(pool: Pool, tmp_path: Path) -> None:
    source = speaking(tmp_path / "live.mp4", seconds=9)
    segments = sampled(pool, source, "live-paced", "--follow", "--tier", "short")
    assert len(segments) == 3
    records = finished(pool, "live-paced", segments)
    assert all(record.processing.latency_s > 0 for record in records)
    assert all(record.observations.speech and record.observations.speech.speech_s > 0 for record in records)
    assert LATENCY.search(pool.run("verdicts", "show", "live-paced").stdout)
