"""What becomes of messages that RabbitMQ gave up on: delivered too often, or refused by a worker as no task.

The pool counts starts itself and gives a segment up long before; this is for what never came to be counted.
"""

from __future__ import annotations

import json
import logging
from typing import Any

from pydantic import JsonValue

from pipelines.manifest import MAX_MANIFEST_BYTES, ManifestError, parse_manifest
from workers import quarantine
from workers.broker.queues import Queues
from workers.lanes import CLASSIFY, CONCLUDE, LANES, REEXAMINE, REVIEW, Lane, message_in
from workers.records import record_key_of
from workers.storage import Storage

logger = logging.getLogger(__name__)


def bury(queues: Queues, storage: Storage, *, delivery_limit: int) -> int:
    """Moves what lies in the dead queue to quarantine; how many messages. Raises what store and broker raise."""
    return queues.take_dead(lambda message: _bury(message, storage, delivery_limit))


def _bury(message: Any, storage: Storage, delivery_limit: int) -> None:
    headers = message.properties.get("application_headers") or {}
    task, lane = headers.get("task"), _lane(headers)
    if task in (REEXAMINE, CONCLUDE):
        logger.warning("message of a run given up by the broker task=%s; the feeder sends it again", headers.get("id"))
        return
    content = _content(task, message)
    if task == CLASSIFY and _recorded(content, storage):
        return
    at_limit = headers.get("x-first-death-reason") == "delivery_limit"
    reason: quarantine.Reason = "delivery_limit" if at_limit else "no_task"
    attempts = delivery_limit + 1 if at_limit else 1
    detail = f"delivered {attempts} times without an outcome" if at_limit else "no task of this pool, or not JSON"
    key = quarantine.put_aside(storage, content, reason=reason, detail=detail, lane=lane, attempts=attempts)
    logger.warning("message quarantined key=%s reason=%s", key, reason)


def _lane(headers: dict[str, Any]) -> Lane:
    came_from = headers.get("x-first-death-queue")
    return next((lane for lane in LANES if lane == came_from), LANES[0])


def _content(task: object, message: Any) -> JsonValue:
    """What its sender sent: the manifest or request where the message holds one, else whatever it was, as text."""
    body = message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8", "replace")
    try:
        arguments, named, *_ = json.loads(body)
        given = message_in(tuple(arguments), dict(named), name="request" if task == REVIEW else "manifest")
    except (ValueError, TypeError, RecursionError):
        return {"body": body[:MAX_MANIFEST_BYTES]}
    return given if task in (CLASSIFY, REVIEW) else {"task": str(task), "arguments": given}


def _recorded(content: JsonValue, storage: Storage) -> bool:
    """Whether its last delivery came to its end after all."""
    try:
        return storage.exists(record_key_of(parse_manifest(content if isinstance(content, dict) else {})))
    except ManifestError:
        return False
