from __future__ import annotations

import json

import pytest

from pipelines.manifest import MAX_MANIFEST_BYTES
from workers.cli.enqueue import Found, Refused, misplaced, read

MANIFEST: dict[str, object] = {
    "schema": "liverisk.segment",
    "version": 1,
    "stream_id": "room",
    "segment_id": "s1",
    "captured_at": "2026-01-31T12:00:00Z",
    "duration_s": 10,
}


def written(indent: int | None = None, **changed: object) -> bytes:
    return json.dumps({**MANIFEST, **changed}, indent=indent).encode()


def test_a_file_may_hold_one_manifest_over_many_lines() -> None:
    [found] = read("a.json", b"\n" + written(indent=2))
    assert isinstance(found, Found)


def test_a_file_may_hold_a_manifest_a_line() -> None:
    places = [finding.place for finding in read("a.jsonl", written() + b"\n\n" + written(segment_id="s2") + b"\n")]
    assert places == ["a.jsonl:1", "a.jsonl:3"]


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"version": 2}, "version"),
        ({"schema": "other"}, "schema"),
        ({"duration_s": 0}, "duration_s"),
        ({"stream_id": "../x"}, "stream_id"),
        ({"captured_at": "2026-01-31T12:00:00"}, "captured_at"),
        ({"extra": 1}, "extra"),
        ({"frames": [{"at_s": 0, "key": "media/a", "offset": 1}]}, "frames.0"),
    ],
)
def test_a_bad_manifest_is_refused_by_place_and_field(changed: dict[str, object], field: str) -> None:
    _, refused = read("a.jsonl", written() + b"\n" + json.dumps(MANIFEST | changed).encode())
    assert isinstance(refused, Refused)
    assert (refused.place, refused.reason.split(":")[0]) == ("a.jsonl:2", field)


def test_a_broken_line_does_not_hide_the_good_ones() -> None:
    kinds = [type(finding) for finding in read("a.jsonl", b'{"schema"\n' + written())]
    assert kinds == [Refused, Found]


def test_a_manifest_that_is_too_long_is_refused_unread() -> None:
    [refused] = read("a.json", written(context={"language": "x" * MAX_MANIFEST_BYTES}))
    assert isinstance(refused, Refused)
    assert "put chat in an object" in refused.reason


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_what_is_no_manifest_at_all_is_one_refusal(content: bytes) -> None:
    [refused] = read("a.json", content)
    assert isinstance(refused, Refused)
    assert "\n" not in refused.reason


@pytest.mark.parametrize("text", ["\x00", "\u202eabc", "🎉👩‍👩‍👧"])
def test_unusual_characters_in_chat_are_no_reason_to_refuse(text: str) -> None:
    [found] = read("a.json", written(chat=[{"at_s": 0, "user": "u", "text": text}]))
    assert isinstance(found, Found)
    assert found.manifest.as_message()["chat"] == [{"at_s": 0.0, "user": "u", "text": text}]


@pytest.mark.parametrize("key", ["records/a.json", "media/../records/a.json", "mediaa/x", "media/a/.."])
def test_a_manifest_may_not_name_objects_outside_the_media(key: str) -> None:
    [found] = read("a.json", written(audio={"key": key}))
    assert isinstance(found, Found)
    assert isinstance(misplaced(found, "media/"), Refused)
