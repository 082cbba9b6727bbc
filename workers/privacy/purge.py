"""Removes what is kept of one stream or of one user of the chat, everywhere, and says what it removed and could not.

The one thing in the pool that changes what was written once. Each step can be repeated, and one that died is finished
by doing it again: records, by which everything else is found, go last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import redis

from pipelines.record import Record
from workers.broker.connecting import BrokerError
from workers.broker.letters import Letter
from workers.broker.queues import Queues, open_queues
from workers.config import Config
from workers.lanes import CLASSIFY, LANES, REVIEW
from workers.privacy.erasing import Erasure, without_user
from workers.privacy.evidence import held_by, media_of
from workers.privacy.pseudonyms import Pseudonyms
from workers.privacy.purged_chat import purge_chat, purge_quarantined_chat
from workers.privacy.purged_runs import SegmentName, purge_runs_of_stream, purge_runs_of_user, remake_reports
from workers.privacy.purging import Purge, Purged
from workers.quarantine import PREFIX as QUARANTINE
from workers.records import RecordError, canonical, key_of, parse_record, place_of, record_keys
from workers.status import messages_in_work
from workers.storage import ObjectMissing, Storage
from workers.verdicts.tables import replace_rows

OF_STREAM = ("history:*:{0}", "language:{0}", "language:{0}:*", "reviewed:{0}:*")
OF_SEGMENTS = ("starts:{0}/*", "failure:{0}/*", "running:{0}/*")
"""What the broker's store remembers of a stream, below `liverisk:`."""


def purge_stream(
    config: Config, storage: Storage, client: redis.Redis | None, stream_id: str, *, dry_run: bool = False
) -> Purged:
    """Everything of one stream: media, records, rows, runs, quarantine, waiting messages, recent state."""
    purge = Purge(config, storage, client, Purged(dry_run))
    keys = list(record_keys(storage, stream_id=stream_id))
    _stream_in_broker(purge, stream_id)
    for key in sorted(_media(purge, stream_id, keys)):
        purge.delete(key, "media objects")
    for key in list(storage.keys(f"{QUARANTINE}{stream_id}/")):
        purge.delete(key, "quarantine entries")
    purge_runs_of_stream(purge, stream_id)
    purge.changed("table parts", replace_rows(storage, lambda row: row[0] == stream_id, (), dry_run=dry_run))
    for key in keys:
        purge.delete(key, "records")
    remake_reports(purge)
    _say_held(purge, lambda key: f"/stream={stream_id}/" in f"/{key}")
    return purge.done


def purge_user(
    config: Config, storage: Storage, client: redis.Redis | None, user: str, *, dry_run: bool = False
) -> Purged:
    """What one user wrote in any chat, and their name, be it the platform's or that of records."""
    purge = Purge(config, storage, client, Purged(dry_run))
    names = {user, Pseudonyms.of(config).name(user)}
    purge_chat(purge, user)
    purge_quarantined_chat(purge, user)
    erased = {_row(erasure.record): erasure for erasure in _erasures(purge, names)}
    texts: dict[SegmentName, frozenset[str]] = {}
    for (stream_id, segment_id, _), erasure in erased.items():
        texts[stream_id, segment_id] = texts.get((stream_id, segment_id), frozenset()) | erasure.texts
    purge_runs_of_user(purge, names, texts)
    records = [erasure.record for erasure in erased.values()]
    purge.changed("table parts", replace_rows(storage, erased.__contains__, records, dry_run=dry_run))
    for record in records:
        purge.replace(key_of(record), canonical(record), "records")
    remake_reports(purge)
    _say_waiting(purge)
    _say_held(purge, lambda key: _segment_of(key) in texts)
    return purge.done


def _media(purge: Purge, stream_id: str, record_keys: list[str]) -> set[str]:
    """What lies in a folder of the stream, and what its records name elsewhere."""
    prefix = purge.config.store.media_prefix
    found = {key for key in purge.storage.keys(prefix) if f"/stream={stream_id}/" in key}
    for key in record_keys:
        try:
            found |= media_of(purge.storage, parse_record(key, purge.storage.get(key)), prefix)
        except RecordError:
            purge.left(f"{key} could not be read: media that it alone names were not found")
        except ObjectMissing:
            continue
    return found


def _erasures(purge: Purge, names: set[str]) -> Iterator[Erasure]:
    """Every record that has something of the user, without it."""
    for key in record_keys(purge.storage):
        with suppress(ObjectMissing):
            raw = purge.storage.get(key)
            if not any(_spelt(name) in raw for name in names):
                continue
            try:
                erasure = without_user(parse_record(key, raw), names)
            except RecordError:
                purge.left(f"{key} could not be read: nothing of it was removed")
                continue
            if erasure is not None:
                yield erasure


def _stream_in_broker(purge: Purge, stream_id: str) -> None:
    if purge.client is None:
        purge.left("the broker's store does not answer: waiting messages and recent state were not looked at")
        return
    _withdraw(purge, stream_id)
    for pattern in (*OF_STREAM, *OF_SEGMENTS):
        for key in list(purge.client.scan_iter(match=f"liverisk:{pattern.format(stream_id)}", count=1000)):
            purge.removed("keys of recent state", 1)
            if not purge.dry_run:
                purge.client.delete(key)


def _withdraw(purge: Purge, stream_id: str) -> None:
    with _asked(purge) as queues:
        for lane in LANES:
            theirs = queues.sift(lane, lambda letter: _stream_of(letter) == stream_id, stays=purge.dry_run)
            purge.removed("waiting messages", len(theirs))
        if queues.put_aside():
            purge.left("messages are on their way to quarantine, maybe of this stream: purge again in a minute")
        if _in_work(purge, queues):
            purge.left("workers are at segments now, maybe of this stream: purge again when they have finished")


def _stream_of(letter: Letter) -> object:
    """Of a segment's message and of a review's request. Those of runs carry nothing, and go with their run."""
    if letter.task not in (CLASSIFY, REVIEW):
        return None
    try:
        given = letter.given()
    except ValueError:
        return None
    return given.get("stream_id") if isinstance(given, dict) else None


def _say_waiting(purge: Purge) -> None:
    if purge.client is None:
        purge.left("the broker's store does not answer: waiting messages were not looked at")
        return
    with _asked(purge) as queues:
        waiting = sum(queues.waiting(lane) for lane in LANES) + queues.put_aside() + _in_work(purge, queues)
        if waiting:
            purge.left(f"{waiting} messages wait or are being worked on: purge again when they are recorded")


def _in_work(purge: Purge, queues: Queues) -> int:
    """Messages that workers have; of RabbitMQ's only they know."""
    found = messages_in_work(purge.config, queues)
    if found is None:
        purge.left("no worker could be asked what it is at: purge again in a minute")
    return found or 0


@contextmanager
def _asked(purge: Purge) -> Iterator[Queues]:
    try:
        with open_queues(purge.config) as queues:
            yield queues
    except (redis.RedisError, BrokerError) as error:
        purge.left(f"the broker does not answer, and what waits there was left ({type(error).__name__}): purge again")


def _say_held(purge: Purge, concerns: Callable[[str], bool]) -> None:
    for incident, count in held_by(purge.storage, concerns).items():
        purge.left(f"{count} copies are held as evidence of {incident}: `liverisk evidence release {incident}` lets go")


def _row(record: Record) -> tuple[str, str, str]:
    return record.stream_id, record.segment_id, record.run


def _segment_of(key: str) -> SegmentName | None:
    place = place_of(key)
    return (place.stream_id, place.segment_id) if place else None


def _spelt(name: str) -> bytes:
    """As JSON in UTF-8 has it."""
    return json.dumps(name, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")
