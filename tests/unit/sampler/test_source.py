from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from workers.sampler.source import Opened, SourceError, address


@pytest.mark.parametrize("source", ["srt://host/a", "concat:a|b", "data:,x", "udp://host", "/no/such/file", "http://"])
def test_what_is_no_source_is_refused_in_one_line(source: str) -> None:
    with pytest.raises(SourceError) as refused:
        address(source)
    assert "\n" not in str(refused.value)


def test_a_message_about_an_address_keeps_its_key_to_itself() -> None:
    assert address("rtmp://user:pass@host:1935/app/stream-key?sign=1").name == "rtmp://host/…"


def test_a_recording_is_dated_by_its_file_to_the_millisecond(tmp_path: Path) -> None:
    file = tmp_path / "video.mp4"
    file.touch()
    os.utime(file, ns=(0, 1_700_000_000_123_456_789))
    assert address(str(file)).recorded_at == datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC)


def test_a_script_that_opens_other_files_is_no_source(tmp_path: Path) -> None:
    script = tmp_path / "list.txt"
    script.write_text("ffconcat version 1.0\nfile /etc/hostname\n")
    with pytest.raises(SourceError, match=r"list\.txt"):
        Opened(address(str(script)))


def test_a_local_playlist_may_not_name_a_remote_place(tmp_path: Path) -> None:
    playlist = tmp_path / "mixed.m3u8"
    entry = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n"
    playlist.write_text(entry)
    with pytest.raises(SourceError, match=r"mixed\.m3u8"):
        Opened(address(str(playlist)))
