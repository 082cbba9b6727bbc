"""`liverisk sample` and `liverisk enqueue` as processes, on a real store and a real broker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from tests.lanes import queued
from tests.recordings import recording
from workers.config import Config
from workers.records import record_key
from workers.storage import Storage

MANIFEST: dict[str, object] = {
    "schema": "liverisk.segment",
    "version": 1,
    "stream_id": "room",
    "segment_id": "s1",
    "captured_at": "2026-01-31T12:00:00Z",
    "duration_s": 10,
    "audio": {"key": "media/a.flac"},
}


@pytest.fixture
def environment(config: Config, storage: Storage) -> dict[str, str]:
    assert config.broker.url is not None
    assert config.store.access_key is not None
    assert config.store.secret_key is not None
    return {
        **os.environ,
        "LIVERISK__BROKER__URL": config.broker.url.get_secret_value(),
        "LIVERISK__STORE__ENDPOINT_URL": str(config.store.endpoint_url),
        "LIVERISK__STORE__BUCKET": config.store.bucket,
        "LIVERISK__STORE__ACCESS_KEY": config.store.access_key.get_secret_value(),
        "LIVERISK__STORE__SECRET_KEY": config.store.secret_key.get_secret_value(),
        "LIVERISK__STATE_DIRECTORY": str(config.state_directory),
        "PYTHONUNBUFFERED": "1",
    }


def started(environment: Mapping[str, str], *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from workers.cli.main import main; main()", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ran(environment: Mapping[str, str], *arguments: str | Path, typed: str = "") -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with started(environment, *arguments) as process:
        out, err = process.communicate(typed, timeout=60)
        return process.returncode, out, err


def written(path: Path, *manifests: dict[str, object]) -> Path:
    path.write_text("\n".join(json.dumps(manifest) for manifest in manifests), encoding="utf-8")
    return path


def test_sample_prints_a_line_a_segment_and_a_summary(
    environment: dict[str, str], broker: redis.Redis, tmp_path: Path
) -> None:
    source = recording(tmp_path / "video.mp4", seconds=12)
    code, out, err = ran(environment, "sample", source, "--stream", "room", "--start", "2026-01-31T12:00:00Z")
    assert (code, err) == (0, "")
    first, second, summary = out.splitlines()
    assert first.split("  ") == ["20260131T120000.000Z", "5 frames", "10.0 s audio", "0 chat"]
    assert second.startswith("20260131T120010.000Z  1 frames")
    assert summary.startswith("source ended: 2 segments, 6 frames")
    assert len(queued(broker)) == 2


def test_sample_says_which_segments_it_did_not_queue_again(
    environment: dict[str, str], storage: Storage, broker: redis.Redis, tmp_path: Path
) -> None:
    source = recording(tmp_path / "video.mp4", seconds=12)
    for segment in ("20260131T120000.000Z", "20260131T120010.000Z"):
        storage.put(record_key("2026-01-31", "room", segment, "live"), b"{}")
    order = ("sample", source, "--stream", "room", "--start", "2026-01-31T12:00:00Z")
    code, out, err = ran(environment, *order)
    assert (code, err, queued(broker)) == (0, "", [])
    assert out.splitlines()[-1] == (
        "2 segments already have a record in run live and were not queued; use --run NAME to examine them again"
    )
    assert ran(environment, *order, "--run", "closer")[0] == 0
    assert [manifest.run for manifest in queued(broker)] == ["closer", "closer"]


def test_sample_ends_cleanly_when_told_to(environment: dict[str, str], broker: redis.Redis, tmp_path: Path) -> None:
    source = recording(tmp_path / "video.mp4", seconds=60)
    tier = json.dumps({"quick": {"segment_s": 1, "frame_interval_s": 0.5}})
    arguments = ("sample", source, "--stream", "room", "--follow", "--tier", "quick", "--json")
    with started({**environment, "LIVERISK__SAMPLER__TIERS": tier}, *arguments) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=30)
    *reports, summary = [first, *map(json.loads, rest.splitlines())]
    assert (process.returncode, err, summary["ended"]) == (0, "", "stopped")
    assert [report["segment_id"] for report in reports] == [manifest.segment_id for manifest in queued(broker)]
    assert summary["segments"] == len(reports)


def test_without_a_broker_the_commands_say_what_to_do(environment: dict[str, str], tmp_path: Path) -> None:
    bare = {name: value for name, value in environment.items() if name != "LIVERISK__BROKER__URL"}
    source = written(tmp_path / "manifest.json", MANIFEST)
    for arguments in (("sample", source, "--stream", "room"), ("enqueue", source)):
        code, out, err = ran(bare, *arguments)
        assert (code, out) == (3, "")
        assert err == "liverisk: no broker; run `liverisk up` or set LIVERISK__BROKER__URL\n"


def test_sample_tells_wrong_input_from_failure(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    assert ran(environment, "sample", tmp_path / "none.mp4", "--stream", "room")[0] == 2
    assert ran(environment, "sample", tmp_path / "text.mp4", "--stream", "room")[0] == 2
    assert ran(environment, "sample", tmp_path / "text.mp4", "--stream", "room", "--start", "noon")[0] == 2
    assert ran(environment, "sample", tmp_path / "none.mp4", "--stream", "room", "--run", "a/b")[0] == 2


def test_enqueue_takes_manifests_from_files_and_standard_input(
    environment: dict[str, str], storage: Storage, broker: redis.Redis, tmp_path: Path
) -> None:
    storage.put("media/a.flac", b"x")
    one = written(tmp_path / "one.json", MANIFEST)
    lines = written(tmp_path / "lines.jsonl", MANIFEST | {"segment_id": "s2"}, MANIFEST | {"segment_id": "s3"})
    typed = json.dumps(MANIFEST | {"segment_id": "s4"})
    code, out, err = ran(environment, "enqueue", one, lines, "-", "--lane", "rescan", typed=typed)
    assert (code, out, err) == (0, "4 queued to rescan\n", "")
    assert [manifest.segment_id for manifest in queued(broker, "rescan")] == ["s1", "s2", "s3", "s4"]


def test_one_bad_manifest_keeps_all_from_being_queued(
    environment: dict[str, str], storage: Storage, broker: redis.Redis, tmp_path: Path
) -> None:
    storage.put("media/a.flac", b"x")
    absent = MANIFEST | {"audio": {"key": "media/b.flac"}}
    outside = MANIFEST | {"audio": {"key": "records/x.json"}}
    file = written(tmp_path / "lines.jsonl", MANIFEST, MANIFEST | {"version": 9}, absent, outside)
    code, out, err = ran(environment, "enqueue", file)
    *refusals, last = err.splitlines()
    assert (code, out, last) == (2, "0 queued to live\n", "liverisk: 3 of 4 manifests are bad")
    assert [refusal.removeprefix(f"{file}:").split(": ")[0] for refusal in refusals] == ["2", "3", "4"]
    assert all(part in said for part, said in zip(("version", "b.flac", "records"), refusals, strict=True))
    assert queued(broker) == []


def test_the_good_ones_go_when_asked_to_keep_going(
    environment: dict[str, str], broker: redis.Redis, tmp_path: Path
) -> None:
    file = written(tmp_path / "lines.jsonl", MANIFEST, MANIFEST | {"version": 9})
    code, out, _ = ran(environment, "enqueue", file, "--keep-going", "--no-check-media", "--json")
    assert (code, json.loads(out)["queued"], json.loads(out)["refused"][0]["place"]) == (2, 1, f"{file}:2")
    assert len(queued(broker)) == 1
