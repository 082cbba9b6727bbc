"""The message that any program may send: checked once, and refused with one line that names the field."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.manifest import MAX_MANIFEST_BYTES, ManifestError, parse_manifest, segment_id_at

SMALLEST = {
    "schema": "liverisk.segment",
    "version": 1,
    "stream_id": "room-1",
    "segment_id": "s1",
    "captured_at": "2026-03-01T10:00:00Z",
    "duration_s": 10,
}


def test_the_smallest_manifest_has_no_frames_no_audio_and_no_chat() -> None:
    manifest = parse_manifest(json.dumps(SMALLEST))
    assert (manifest.frames, manifest.audio, manifest.chat, manifest.run, manifest.profile) == (
        (),
        None,
        None,
        "live",
        "live",
    )


def test_time_in_a_gap_is_lost_once_however_many_gaps_it_lies_in() -> None:
    gaps = [(6, 7), (0, 4), (1, 2), (3, 5), (9, 12)]
    message = SMALLEST | {"gaps": [{"from_s": start, "to_s": end, "reason": "lost"} for start, end in gaps]}
    assert parse_manifest(message).lost_s == 5 + 1 + 1


def test_what_is_sent_is_what_is_read() -> None:
    manifest = parse_manifest(SMALLEST | {"frames": [{"at_s": 0, "key": "media/a", "offset": 0, "length": 9}]})
    assert parse_manifest(json.dumps(manifest.as_message())) == manifest


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"version": 2}, "version: "),
        ({"schema": "other"}, "schema: "),
        ({"stream_id": "../../etc"}, "stream_id: "),
        ({"stream_id": ""}, "stream_id: "),
        ({"segment_id": "a/b"}, "segment_id: "),
        ({"duration_s": 0}, "duration_s: "),
        ({"duration_s": float("nan")}, "duration_s: "),
        ({"captured_at": "2026-03-01T10:00:00"}, "captured_at: "),
        ({"captured_at": "0001-01-01T00:00:00+14:00"}, "captured_at: "),
        ({"captured_at": "9999-12-31T23:59:59-14:00"}, "captured_at: "),
        ({"frames": [{"at_s": 0, "key": "/etc/passwd"}]}, "frames.0.key: "),
        ({"frames": [{"at_s": 0, "key": "media/a", "offset": 3}]}, "frames.0: "),
        ({"frames": [{"at_s": -1, "key": "media/a"}]}, "frames.0.at_s: "),
        ({"audio": {"key": "http://example.com/a"}}, "audio.key: "),
        ({"frmes": []}, "frmes: "),
        ({"chat": [{"at_s": 0, "user": "u", "text": "x" * 4001}]}, "chat."),
    ],
)
def test_a_wrong_field_is_named_in_one_line(change: dict[str, object], line: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest({**SMALLEST, **change})
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


def test_an_error_never_quotes_what_was_said() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest({**SMALLEST, "chat": [{"at_s": "soon", "user": "u", "text": "a private thing"}]})
    assert "private" not in str(caught.value)


def test_an_oversize_message_is_refused_unread() -> None:
    with pytest.raises(ManifestError, match="bytes"):
        parse_manifest(b"[" * (MAX_MANIFEST_BYTES + 1))


@pytest.mark.parametrize("text", ["\u202egnp.exe", "🙂‍↔️", "a\x00b", "مرحبا"])
def test_chat_in_any_script_survives_the_journey(text: str) -> None:
    manifest = parse_manifest({**SMALLEST, "chat": [{"at_s": 0, "user": "u", "text": text}]})
    assert parse_manifest(json.dumps(manifest.as_message())) == manifest


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_else(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(raw)


@given(st.dictionaries(st.sampled_from([*SMALLEST, "frames", "chat", "audio"]), st.none() | st.text() | st.floats()))
def test_no_object_raises_anything_else(change: dict[str, object]) -> None:
    try:
        parse_manifest({**SMALLEST, **change})
    except ManifestError as error:
        assert "\n" not in str(error)  # noqa: PT017  # some changes leave the manifest valid


def test_a_segment_is_named_after_its_utc_start_to_the_millisecond() -> None:
    assert segment_id_at(datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)) == "20260301T100000.123Z"
