"""Evidence of an incident, held: copies that retention and purges leave alone, with a manifest of their hashes.

evidence/<incident>/holds/000001.json       what was held, with hashes; names the hash of the one before
evidence/<incident>/objects/<key>           the copies
evidence/<incident>/released.json           who let it go, when; the copies are gone then, the hashes stay
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeVar

from pydantic import AwareDatetime, Field, ValidationError

from pipelines.manifest import one_line
from pipelines.record import Record
from pipelines.strict import Identifier, Sha256, Strict
from workers.records import RecordError, parse_record, record_keys
from workers.storage import ObjectMissing, Storage

PREFIX = "evidence/"
Kind = TypeVar("Kind", bound=Strict)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class EvidenceError(Exception):
    """The incident cannot be held, released or read as asked; one line."""


class NoSuchIncident(EvidenceError):
    """Nothing is held under this name."""


class Held(Strict):
    """One object as it was when it was copied."""

    key: str
    size: int
    sha256: Sha256


class Hold(Strict):
    """One act of holding. `previous` is the hash of the hold before it, so none can be taken out unseen."""

    schema_id: Literal["liverisk.hold"] = Field(default="liverisk.hold", alias="schema")
    version: Literal[1] = 1
    incident: Identifier
    number: int = Field(ge=1)
    at: AwareDatetime
    by: str = Field(max_length=512)
    reason: str = Field(default="", max_length=2000)
    streams: tuple[Identifier, ...]
    segments: int
    objects: tuple[Held, ...]
    missing: tuple[str, ...] = Field(default=(), description="named by a record, and gone before they could be held")
    previous: Sha256 | None = None


class Released(Strict):
    """`last` is the hash of the last hold."""

    at: AwareDatetime
    by: str = Field(max_length=512)
    reason: str = Field(default="", max_length=2000)
    last: Sha256
    objects: int


@dataclass(frozen=True, slots=True)
class Incident:
    """What is held under one name; `released` None: it still is."""

    name: str
    holds: tuple[Hold, ...]
    released: Released | None

    @property
    def objects(self) -> dict[str, Held]:
        """By key; of one that was held twice what was found first."""
        return {one.key: one for hold in reversed(self.holds) for one in hold.objects}


def hold(
    storage: Storage,
    incident: str,
    stream_id: str,
    *,
    by: str,
    since: datetime | None = None,
    until: datetime | None = None,
    reason: str = "",
    media_prefix: str = "media/",
) -> Hold:
    """Copies the records of the stream's segments, of every run, and their media. `EvidenceError` when there are none.

    Safe to repeat: what is held already is not copied again, and what has come since is.
    """
    before = _holds(storage, incident)
    if before and read_incident(storage, incident).released is not None:
        raise EvidenceError(f"{incident} was released; hold under another name")
    keys, segments = _keys_of(storage, stream_id, since, until, media_prefix)
    if not segments:
        raise EvidenceError(f"no records of stream {stream_id} in the time asked for")
    known = {one.key for earlier in before for one in earlier.objects}
    copied = {key: _copied(storage, key, object_key(incident, key)) for key in sorted(keys - known)}
    done = Hold(
        schema="liverisk.hold",
        incident=incident,
        number=len(before) + 1,
        at=datetime.now(UTC),
        by=by,
        reason=reason,
        streams=(stream_id,),
        segments=segments,
        objects=tuple(one for one in copied.values() if one is not None),
        missing=tuple(key for key, one in copied.items() if one is None),
        previous=digest_of(before[-1]) if before else None,
    )
    if not storage.put_once(_hold_key(incident, done.number), _body(done), content_type="application/json"):
        raise EvidenceError(f"{incident}: somebody else held something at the same time; do it again")
    return done


def release(storage: Storage, incident: str, *, by: str, reason: str = "") -> Released:
    """Removes the copies and keeps their hashes. `NoSuchIncident`, or `EvidenceError` when it was released before."""
    found = read_incident(storage, incident)
    if found.released is not None:
        raise EvidenceError(f"{incident} was released on {found.released.at:%F} by {found.released.by}")
    copies = list(storage.keys(f"{PREFIX}{incident}/objects/"))
    for key in copies:
        storage.delete(key)
    done = Released(at=datetime.now(UTC), by=by, reason=reason, last=digest_of(found.holds[-1]), objects=len(copies))
    storage.put_once(f"{PREFIX}{incident}/released.json", _body(done), content_type="application/json")
    return done


def incidents(storage: Storage) -> Iterator[Incident]:
    """Every incident, released ones too."""
    for folder in storage.folders(PREFIX):
        with suppress(NoSuchIncident):
            yield read_incident(storage, folder.removeprefix(PREFIX).rstrip("/"))


def read_incident(storage: Storage, incident: str) -> Incident:
    """`NoSuchIncident` when nothing was ever held under this name, `EvidenceError` when it cannot be read."""
    holds = _holds(storage, incident)
    if not holds:
        raise NoSuchIncident(f"nothing is held under {incident}")
    released = None
    with suppress(ObjectMissing):
        released = _read(storage, f"{PREFIX}{incident}/released.json", Released)
    return Incident(incident, holds, released)


def problems(storage: Storage, incident: Incident) -> Iterator[str]:
    """What is not as it was held: a line each. Reads every copy."""
    previous = None
    for number, one in enumerate(incident.holds, start=1):
        if one.number != number or one.previous != previous:
            yield f"hold {number} does not follow from the one before"
        previous = digest_of(one)
    if incident.released is not None:
        if incident.released.last != previous:
            yield "what was released is not what was held last"
        return
    for key, held in sorted(incident.objects.items()):
        try:
            body = storage.get(object_key(incident.name, key))
        except ObjectMissing:
            yield f"{key}: the copy is gone"
            continue
        if hashlib.sha256(body).hexdigest() != held.sha256:
            yield f"{key}: the copy is not what was held"


def held_by(storage: Storage, concerns: Callable[[str], bool]) -> dict[str, int]:
    """Incident -> how many copies of objects whose key `concerns` somebody are held under it."""
    found = {one.name: sum(map(concerns, one.objects)) for one in incidents(storage) if one.released is None}
    return {name: count for name, count in found.items() if count}


def digest_of(one: Hold) -> str:
    """What the next hold names, to follow from this one."""
    return hashlib.sha256(_body(one)).hexdigest()


def object_key(incident: str, key: str) -> str:
    """Where the copy of an object lies."""
    return f"{PREFIX}{incident}/objects/{key}"


def media_of(storage: Storage, record: Record, media_prefix: str) -> set[str]:
    """Keys of the media that the record names, and of what else lies in the segment's own folder, as its chat does."""
    named = {frame.key for frame in record.media} | ({record.audio_key} if record.audio_key else set())
    folders = {key.rpartition("/")[0] + "/" for key in named}
    own = {folder for folder in folders if folder.endswith(f"/{record.segment_id}/")}
    beside = {key for folder in own for key in storage.keys(folder)}
    return {key for key in named | beside if key.startswith(media_prefix)}


def _keys_of(
    storage: Storage, stream_id: str, since: datetime | None, until: datetime | None, media_prefix: str
) -> tuple[set[str], int]:
    """The objects of the segments, and how many segments those are."""
    keys: set[str] = set()
    segments: set[str] = set()
    for key in record_keys(storage, stream_id=stream_id, since=since, until=until):
        try:
            record = parse_record(key, storage.get(key))
        except (RecordError, ObjectMissing):
            keys.add(key)  # damaged or not, it is evidence
            continue
        if (since is None or since <= record.captured_at) and (until is None or record.captured_at < until):
            segments.add(record.segment_id)
            keys |= {key} | media_of(storage, record, media_prefix)
    return keys, len(segments)


def _copied(storage: Storage, key: str, copy: str) -> Held | None:
    """The copy's hash; None when there is nothing to copy. A copy that is there is of an attempt that died."""
    try:
        body = storage.get(key)
    except ObjectMissing:
        return None
    storage.put(copy, body)
    return Held(key=key, size=len(body), sha256=hashlib.sha256(body).hexdigest())


def _holds(storage: Storage, incident: str) -> tuple[Hold, ...]:
    if not _NAME.fullmatch(incident):
        raise EvidenceError(f"{incident!r} is no name for an incident: letters, digits, dot, dash and underscore")
    return tuple(_read(storage, key, Hold) for key in storage.keys(f"{PREFIX}{incident}/holds/"))


def _hold_key(incident: str, number: int) -> str:
    return f"{PREFIX}{incident}/holds/{number:06d}.json"


def _body(value: Strict) -> bytes:
    return value.model_dump_json(by_alias=True, exclude_none=True).encode()


def _read(storage: Storage, key: str, kind: type[Kind]) -> Kind:
    try:
        return kind.model_validate_json(storage.get(key))
    except ValidationError as error:
        raise EvidenceError(f"{key}: unreadable ({one_line(error)})") from None
