"""A message as it lies in a queue, of whichever broker: what its sender said of it, and what it carries."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from workers.lanes import LANES, REVIEW, Lane, message_in

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading something raises that is not what it should be."""

SAID_OF_IT = ("queued_at", "run", "live")
"""What senders say of their message."""
BELIEVED = ("lang", "task", "id", *SAID_OF_IT)
"""The headers that count. Celery would do what others say: let a segment run for ever (`timelimit`), keep it in memory
until a date (`eta`), drop it after one (`expires`)."""


@dataclass(frozen=True, slots=True)
class Letter:
    """`body` is what its sender sent, `lane` where it lies or lay. What is no message at all has no headers."""

    headers: Mapping[str, Any]
    body: bytes
    lane: Lane

    @property
    def task(self) -> object:
        return self.headers.get("task")

    def given(self) -> JsonValue:
        """The manifest, request or arguments; `ValueError` when it carries none."""
        try:
            arguments, named, *_ = json.loads(self.body)
            return message_in(tuple(arguments), dict(named), name="request" if self.task == REVIEW else "manifest")
        except UNREADABLE as error:
            raise ValueError(type(error).__name__) from None


def keep_to_the_task(message: Any) -> None:
    """Takes out of kombu's message what only its sender wanted, before Celery acts on it.

    Of the body that is its third part, in which a sender names messages to send when the task is done. Raises one of
    `UNREADABLE` for what is no task of protocol 2: Celery would acknowledge it with a line in the log.
    """
    headers = {name: message.headers[name] for name in BELIEVED if name in message.headers}
    arguments, named, _ = json.loads(message.body)
    if "task" not in headers or not isinstance(arguments, list) or not isinstance(named, dict):
        raise ValueError
    message.headers = headers
    message.body, message.content_encoding = json.dumps([arguments, named, {}]).encode(), "utf-8"


def from_rabbit(message: Any, lane: Lane) -> Letter:
    body = message.body.encode("utf-8", "replace") if isinstance(message.body, str) else bytes(message.body)
    return Letter(message.properties.get("application_headers") or {}, body, lane)


def from_redis(raw: bytes, lane: Lane) -> Letter:
    """As kombu writes it: an object in JSON, whose body is in base64 when the properties say so."""
    try:
        envelope = json.loads(raw)
        body = envelope["body"].encode("utf-8", "replace")
        if envelope["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        return Letter(dict(envelope["headers"]), body, lane)
    except UNREADABLE:
        return Letter({}, raw, lane)


def dead_entry(raw: bytes, lane: str) -> bytes:
    """What lies in Redis' list of dead messages: the lane, a space, and what lay there."""
    return lane.encode() + b" " + raw


def from_dead_entry(entry: bytes) -> Letter:
    name, _, raw = entry.partition(b" ")
    lane = next((lane for lane in LANES if lane.encode() == name), None)
    return from_redis(entry, LANES[0]) if lane is None else from_redis(raw, lane)
