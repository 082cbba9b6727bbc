"""What a message can name: objects below the media prefix, and nothing else, whatever stands in which field."""

from __future__ import annotations

import copy
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given, strategies
from pydantic import JsonValue, ValidationError

from pipelines.decode import InProcess
from pipelines.manifest import MAX_MANIFEST_BYTES, ManifestError, SegmentManifest, parse_manifest
from workers.config import Store
from workers.fetch import MAX_CHAT_BYTES, OutsideMedia, check_reach, fetch_segment
from workers.reach import OWN_FOLDERS, within
from workers.runs.messages import MessageError, batch_call, segment_call
from workers.storage import ObjectMissing

PREFIX = "media/"
DECODER = InProcess()
WHOLE: dict[str, JsonValue] = {
    "schema": "liverisk.segment",
    "version": 1,
    "stream_id": "room",
    "segment_id": "20260310T200000.000Z",
    "captured_at": "2026-03-10T20:00:00Z",
    "duration_s": 10,
    "frames": [{"at_s": 0, "key": "media/a/0.jpg"}, {"at_s": 5, "key": "media/a/packed", "offset": 0, "length": 10}],
    "audio": {"key": "media/a/audio"},
    "chat": {"key": "media/a/chat"},
    "gaps": [{"from_s": 1, "to_s": 2, "reason": "lost"}],
    "context": {"language": "zh", "region": "SG", "viewers": 3},
    "sampler": {"segment_s": 10, "frame_interval_s": 2, "tier": "default"},
    "profile": "live",
    "run": "live",
}
"""A manifest with something in every field."""

TARGETS = (
    "http://127.0.0.1/",
    "https://example.org/x.jpg",
    "HTTP://127.0.0.1:80/x",
    "//127.0.0.1/share",
    "ftp://host/x",
    *(
        "file:///etc/passwd",
        "file:/etc/passwd",
        "/etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "data:text/plain,x",
    ),
    "s3://other-bucket/media/x",
    "s3:other-bucket/x",
    "arn:aws:s3:::other-bucket/media/x",
    "other-bucket:media/x",
    *(
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://0x7f000001/",
        "unix:/run/liverisk/engine.sock",
    ),
    *(
        "concat:media/a|media/b",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "pipe:0",
        "rtmp://127.0.0.1/live",
        "tcp://[::]:1",
    ),
    "../records/x.json",
    "media/../records/x.json",
    "media/../../etc/passwd",
    "media/..",
    "media/./../records/x",
    "media/a/../../records/x.json",
    "media//records/x.json",
    "media/./records",
    "./media/a",
    ".media/a",
    "media/.",
    "media/..%2frecords/x",
    "media/%2e%2e/records/x",
    "media%2f..%2frecords",
    "media/..;/records/x",
    "media/...//x",
    *(
        "media\\..\\records\\x",
        "media/..\\records",
        "C:\\Windows\\x",
        "\\\\host\\share",
        "media/a\x00.jpg",
        "media/a\n",
    ),
    *(
        "media/a\r\nHost: 127.0.0.1",
        "media/a?versionId=x",
        "media/a#x",
        "media/a b",
        "media/*",
        "~/x",
        "$HOME/x",
        "${x}",
    ),
    *(
        "media/\u2025/records",
        "media/\uff0e\uff0e/records",
        "media\uff0f..\uff0frecords",
        "med\u0456a/x",
        "\u202emedia/x",
    ),
    "media/a\u200b",
    "MEDIA/a",
    "media",
    "medi/a",
    "media-private/a",
    "mediax",
    "",
    " ",
    " media/a",
    "media/a ",
    *(f"{folder}/x" for folder in sorted(OWN_FOLDERS)),
    "records/date=2026-03-10/stream=room/x/live.json",
    "registry/slots.json",
    "quarantine/invalid/x.json",
    "media/" + "a" * 600,
    quote("media/../records/x", safe=""),
)


class Watched:
    """A store that has nothing, and remembers what it was asked for."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        self.keys.append(key)
        raise ObjectMissing(key)


def places(tree: JsonValue, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value, containers included."""
    if path:
        yield path
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in children:
        yield from places(value, (*path, name))


def changed(path: tuple[str | int, ...], value: JsonValue) -> dict[str, JsonValue]:
    """The whole manifest with another value in one place."""
    tree = copy.deepcopy(WHOLE)
    node: object = tree
    for step in path[:-1]:
        node = node[step]  # type: ignore[index]  # a way that `places` found
    node[path[-1]] = value  # type: ignore[index]
    return tree


def asked_for(message: object) -> list[str]:
    """The keys that the store is asked for because of this message; none when it is refused."""
    try:
        manifest = parse_manifest(json.dumps(message))
        check_reach(manifest, PREFIX)
    except (ManifestError, OutsideMedia):
        return []
    store = Watched()
    fetch_segment(manifest, store, decoder=DECODER, max_side_px=64)
    return store.keys


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Addresses that anybody tried to reach."""
    tried: list[object] = []

    def refuse(_: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError("no network in this test")

    def refuse_name(host: object, *_: object, **__: object) -> None:
        tried.append(host)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse_name)
    return tried


def test_what_is_below_the_prefix_is_fetched() -> None:
    assert sorted(asked_for(WHOLE)) == ["media/a/0.jpg", "media/a/audio", "media/a/chat", "media/a/packed"]


@pytest.mark.parametrize("path", list(places(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_no_field_takes_the_worker_outside_its_media(path: tuple[str | int, ...], no_network: list[object]) -> None:
    for target in TARGETS:
        shapes: list[JsonValue] = [target, {"key": target}, [{"at_s": 0, "key": target}], {"url": target}, [target]]
        for value in shapes:
            fetched = asked_for(changed(path, value))
            assert all(key.startswith(PREFIX) and key in json.dumps(WHOLE) for key in fetched), (path, value, fetched)
    assert no_network == []


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("reference", ["frames", "audio", "chat"])
def test_a_manifest_that_names_anything_else_is_refused_whole(reference: str, target: str) -> None:
    named: JsonValue = [{"at_s": 0, "key": target}] if reference == "frames" else {"key": target}

    with pytest.raises((ManifestError, OutsideMedia)) as refusal:
        check_reach(parse_manifest(json.dumps({**WHOLE, reference: named})), PREFIX)

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("field", ["url", "bucket", "endpoint_url", "region", "source", "version_id", "headers"])
@pytest.mark.parametrize("place", [(), ("frames", 0), ("audio",), ("chat",), ("context",), ("sampler",)])
def test_there_is_no_field_for_an_address_or_another_bucket(field: str, place: tuple[str | int, ...]) -> None:
    tree = copy.deepcopy(WHOLE)
    node: object = tree
    for step in place:
        node = node[step]  # type: ignore[index]
    node[field] = "http://127.0.0.1/"  # type: ignore[index]

    with pytest.raises(ManifestError):
        parse_manifest(json.dumps(tree))


UNKNOWN: tuple[JsonValue, ...] = (None, 0, 2, 10**30, -1, 1.5, "1", "", [], {}, "2", "1.0", [1], {"1": 1})


@pytest.mark.parametrize("version", UNKNOWN)
def test_another_version_is_refused(version: JsonValue) -> None:
    with pytest.raises(ManifestError, match="version"):
        parse_manifest(json.dumps({**WHOLE, "version": version}))


@pytest.mark.parametrize("schema", [None, "", "liverisk.record", "liverisk.segment ", "LIVERISK.SEGMENT", 1, [], {}])
def test_another_schema_is_refused(schema: JsonValue) -> None:
    with pytest.raises(ManifestError, match="schema"):
        parse_manifest(json.dumps({**WHOLE, "schema": schema}))


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_null_is_refused_or_means_that_there_was_none(name: str) -> None:
    message = {**WHOLE, name: None}
    if name in ("audio", "chat", "sampler"):
        assert set(asked_for(message)) <= set(asked_for(WHOLE))
    else:
        with pytest.raises(ManifestError, match=name):
            parse_manifest(json.dumps(message))


TOO_MUCH: dict[str, Callable[[], dict[str, JsonValue]]] = {
    "bytes": lambda: {"stream_id": "x" * MAX_MANIFEST_BYTES},
    "frames": lambda: {"frames": [{"at_s": 0, "key": "media/x"}] * 2001},
    "frames.0.length": lambda: {"frames": [{"at_s": 0, "key": "media/x", "offset": 0, "length": 65 * 2**20}]},
    "gaps": lambda: {"gaps": [{"from_s": 0, "to_s": 1, "reason": "x"}] * 1001},
    "duration_s": lambda: {"duration_s": 36_000},
    "chat": lambda: {"chat": [{"at_s": 0, "user": "u", "text": "x" * 4001}]},
    "captured_at": lambda: {"captured_at": "9999-12-31T23:59:59Z"},
}


@pytest.mark.parametrize("what", sorted(TOO_MUCH))
def test_more_than_a_segment_can_be_is_refused(what: str) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(json.dumps({**WHOLE, **TOO_MUCH[what]()}))


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_json_nested_without_end_is_refused(depth: int) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(f'{{"schema": {"[" * depth}{"]" * depth}}}')


@pytest.mark.parametrize(
    "names", [["room/../../x"], [".."], ["a/b"], ["../x"], ["a\n"], ["http://x"], ["r\u00f6m"], [""]]
)
@pytest.mark.parametrize("field", ["stream_id", "segment_id", "run"])
def test_names_that_become_keys_are_plain(field: str, names: list[str]) -> None:
    for name in names:
        with pytest.raises(ManifestError, match=field):
            parse_manifest(json.dumps({**WHOLE, field: name}))


@pytest.mark.parametrize(
    "run", ["../registry", "a/b", "..", "", None, 7, ["x"], {"x": 1}, "http://127.0.0.1/", "x" * 200]
)
def test_the_feeders_messages_name_runs_and_nothing_else(run: JsonValue) -> None:
    with pytest.raises(MessageError):
        segment_call([run, 1, 0], {})
    with pytest.raises(MessageError):
        batch_call([run, 1], {})


@pytest.mark.parametrize("numbers", [("1", 0), (0, 0), (-1, 0), (1, -1), (1.0, 0), (True, 0), (None, 0), ("../x", 0)])
def test_the_feeders_messages_count_and_name_no_place(numbers: tuple[JsonValue, JsonValue]) -> None:
    with pytest.raises(MessageError):
        segment_call(["rescan-1", *numbers], {})


@given(strategies.text(max_size=40))
def test_whatever_key_is_written_is_below_the_prefix_or_refused(tail: str) -> None:
    for key in (tail, PREFIX + tail, tail + PREFIX):
        for fetched in asked_for({**WHOLE, "audio": {"key": key}}):
            assert fetched.startswith(PREFIX)
            assert not {"", ".", ".."} & set(fetched.split("/"))


def test_a_key_is_taken_as_it_stands() -> None:
    assert within("media/a/b..c", PREFIX)
    assert not within("media/a/..", PREFIX)
    assert not within("media/", PREFIX)


@pytest.mark.parametrize(
    "prefix", ["", "/", "media", "../", "media/../", "records/", "runs/x/", "media//", "/media/", "http://x/"]
)
def test_a_prefix_that_would_open_more_than_media_is_refused(prefix: str) -> None:
    with pytest.raises(ValidationError, match="media_prefix"):
        Store(media_prefix=prefix)


def test_chat_in_an_object_is_read_up_to_its_limit() -> None:
    limits: list[int | None] = []

    class Limited(Watched):
        def get(
            self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
        ) -> bytes:
            limits.append(max_bytes)
            return super().get(key)

    manifest = SegmentManifest.model_validate(
        {**WHOLE, "frames": (), "audio": None, "captured_at": datetime(2026, 3, 10, tzinfo=UTC)}
    )
    fetch_segment(manifest, Limited(), decoder=DECODER, max_side_px=64)

    assert limits == [MAX_CHAT_BYTES]
