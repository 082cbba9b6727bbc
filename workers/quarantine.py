"""Where a segment goes that cannot be examined however often it is tried: named, kept, and retried on demand.

An entry holds the message, the reason and the versions; never media, never what was said in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

from pydantic import AwareDatetime, JsonValue

from pipelines.manifest import SegmentManifest, parse_manifest
from pipelines.strict import Strict
from workers.lanes import Lane
from workers.storage import Storage

PREFIX = "quarantine/"

Reason = Literal["manifest", "outside_media", "crashed", "failed"]


class Entry(Strict):
    """`detail` is one line: a field's name, an error class, a count; `attempts` how often it was started."""

    reason: Reason
    detail: str
    attempts: int
    at: AwareDatetime
    lane: Lane
    version: str
    message: JsonValue


class QuarantineError(Exception):
    """The entry cannot be read or retried; one line."""


def put_aside(
    storage: Storage, message: JsonValue, *, reason: Reason, detail: str, lane: Lane, attempts: int = 1
) -> str:
    """Writes the entry and returns its key; the same message for the same reason has one entry."""
    entry = Entry(
        reason=reason,
        detail=detail,
        attempts=attempts,
        at=datetime.now(UTC),
        lane=lane,
        version=version("liverisk"),
        message=message,
    )
    key = f"{PREFIX}{_name(message)}.json"
    storage.put(key, entry.model_dump_json(indent=1).encode(), content_type="application/json")
    return key


def entries(storage: Storage) -> Iterator[tuple[str, Entry]]:
    """Every entry with its name, as `show` and `retry` take it."""
    for key in storage.keys(PREFIX):
        yield key.removeprefix(PREFIX).removesuffix(".json"), Entry.model_validate_json(storage.get(key))


def read_entry(storage: Storage, name: str) -> Entry:
    return Entry.model_validate_json(storage.get(f"{PREFIX}{name}.json"))


def manifest_of(entry: Entry) -> SegmentManifest:
    """The manifest to send again; `ManifestError` when it never was one."""
    if not isinstance(entry.message, dict):
        raise QuarantineError("the message is no manifest and cannot be retried")
    return parse_manifest(dict(entry.message))


def remove(storage: Storage, name: str) -> None:
    storage.delete(f"{PREFIX}{name}.json")


def segment_name(manifest: SegmentManifest) -> str:
    """The segment in one run, as attempts are counted and entries named."""
    return f"{manifest.stream_id}/{manifest.segment_id}/{manifest.run}"


def _name(message: JsonValue) -> str:
    try:
        return segment_name(parse_manifest(dict(message) if isinstance(message, dict) else {}))
    except ValueError:
        body = json.dumps(message, sort_keys=True).encode()
        return f"invalid/{hashlib.sha256(body).hexdigest()[:32]}"
