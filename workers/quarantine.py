"""Where a segment goes that cannot be examined however often it is tried: named, kept, and retried on demand.

An entry holds the message, the reason and the versions; never media, never what was said in them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from datetime import time as clock_time
from decimal import Decimal
from importlib.metadata import version
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, ValidationError

from pipelines.manifest import SegmentManifest, one_line, parse_manifest
from pipelines.strict import Strict
from workers.fetch import check_reach
from workers.lanes import Lane
from workers.publish import Publisher
from workers.state import StreamState
from workers.storage import ObjectMissing, Storage

PREFIX = "quarantine/"

Reason = Literal["manifest", "outside_media", "crashed", "review_request", "delivery_limit", "expired", "no_task"]


class Entry(Strict):
    """`detail` is one line: a field's name, an error class, a count; `attempts` how often it was started.

    `message` is JSON text: what was sent may be no manifest, and need not even be valid Unicode.
    """

    reason: Reason
    detail: str
    attempts: int
    at: AwareDatetime
    lane: Lane
    version: str
    message: str


class QuarantineError(Exception):
    """The entry cannot be read or retried; one line."""


def put_aside(storage: Storage, message: object, *, reason: Reason, detail: str, lane: Lane, attempts: int = 1) -> str:
    """Writes the entry and returns its key; the same message for the same reason has one entry."""
    entry = Entry(
        reason=reason,
        detail=detail,
        attempts=attempts,
        at=datetime.now(UTC),
        lane=lane,
        version=version("liverisk"),
        message=as_json(message),
    )
    key = f"{PREFIX}{_name(message)}.json"
    storage.put(key, entry.model_dump_json(indent=1).encode(), content_type="application/json")
    return key


def entries(
    storage: Storage, damaged: Callable[[QuarantineError], object] | None = None
) -> Iterator[tuple[str, Entry]]:
    """Every entry with its name, as `show` and `retry` take it.

    `damaged` is told of those that cannot be read; without it the first of them is raised.
    """
    for key in storage.keys(PREFIX):
        name = key.removeprefix(PREFIX).removesuffix(".json")
        try:
            yield name, read_entry(storage, name)
        except QuarantineError as error:
            if damaged is None:
                raise
            damaged(error)
        except ObjectMissing:  # retried meanwhile
            continue


def read_entry(storage: Storage, name: str) -> Entry:
    """The entry. Raises `ObjectMissing` when there is none, `QuarantineError` when it cannot be read."""
    try:
        return Entry.model_validate_json(storage.get(f"{PREFIX}{name}.json"))
    except ValidationError as error:
        raise QuarantineError(f"{name}: not a readable entry ({one_line(error)})") from None


def retry(name: str, storage: Storage, state: StreamState, publisher: Publisher, media_prefix: str) -> SegmentManifest:
    """Queues the segment again with its starts forgotten, and removes the entry.

    Raises `ObjectMissing` when there is no such entry, `ManifestError` or `OutsideMedia` when trying again could
    only end the same way, and what store, state and publisher raise.
    """
    entry = read_entry(storage, name)
    manifest = parse_manifest(entry.message)
    check_reach(manifest, media_prefix)
    state.forget_attempts(segment_name(manifest))
    publisher.send(manifest, lane=entry.lane)
    with suppress(ObjectMissing):
        if read_entry(storage, name) == entry:  # it may be back already, with a newer entry
            storage.delete(f"{PREFIX}{name}.json")
    return manifest


def as_json(message: object) -> str:
    """The message as it can always be stored: ASCII, whatever was sent.

    What Celery's JSON carries beyond JSON becomes text: a decimal of a few characters would else be made a whole number
    of gigabytes by who looks for one.
    """
    try:
        return json.dumps(message, ensure_ascii=True, default=_as_text)
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"unstorable": type(error).__name__})


def _as_text(value: object) -> str:
    if isinstance(value, date | clock_time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    raise TypeError


def segment_name(manifest: SegmentManifest) -> str:
    """The segment in one run, as attempts are counted and entries named."""
    return f"{manifest.stream_id}/{manifest.segment_id}/{manifest.run}"


def _name(message: object) -> str:
    try:
        return segment_name(parse_manifest(as_json(message)))
    except ValueError:
        return f"invalid/{hashlib.sha256(as_json(message).encode()).hexdigest()[:32]}"
