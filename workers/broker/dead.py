"""What becomes of messages that were put aside: refused by a worker as no task, or given up by RabbitMQ.

RabbitMQ gives up what was delivered too often. The pool counts starts itself and gives a segment up long before; this
is for what never came to be counted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from pydantic import JsonValue

from pipelines.manifest import MAX_MANIFEST_BYTES, ManifestError, parse_manifest
from workers import quarantine
from workers.broker.letters import Letter
from workers.broker.queues import Queues
from workers.lanes import CLASSIFY, CONCLUDE, REEXAMINE, REVIEW
from workers.records import record_key_of
from workers.storage import Storage

logger = logging.getLogger(__name__)


def bury(
    queues: Queues,
    storage: Storage,
    *,
    delivery_limit: int,
    count: Callable[[quarantine.Reason], None] = lambda _: None,
) -> int:
    """Moves what was put aside to quarantine; how many messages. Raises what store and broker raise.

    `count` is told of each that has come to be in quarantine.
    """

    def buried(letter: Letter) -> None:
        if (reason := _bury(letter, storage, delivery_limit)) is not None:
            count(reason)

    return queues.take_dead(buried)


def _bury(letter: Letter, storage: Storage, delivery_limit: int) -> quarantine.Reason | None:
    if letter.task in (REEXAMINE, CONCLUDE):
        logger.warning("message of a run given up task=%s; the feeder sends it again", letter.headers.get("id"))
        return None
    content = _content(letter)
    if letter.task == CLASSIFY and _recorded(content, storage):
        return None
    died_of = letter.headers.get("x-first-death-reason")
    reason: quarantine.Reason = died_of if died_of in ("delivery_limit", "expired") else "no_task"
    attempts = delivery_limit + 1 if reason == "delivery_limit" else 1
    detail = {
        "delivery_limit": f"delivered {attempts} times without an outcome",
        "expired": "its sender had RabbitMQ take it out of its lane after a time",
    }.get(reason, "no task of this pool, or not JSON")
    key = quarantine.put_aside(storage, content, reason=reason, detail=detail, lane=letter.lane, attempts=attempts)
    logger.warning("message quarantined key=%s reason=%s", key, reason)
    return reason


def _content(letter: Letter) -> JsonValue:
    """What its sender sent: the manifest or request where the message holds one, else whatever it was, as text."""
    try:
        given = letter.given()
    except ValueError:
        return {"body": letter.body.decode("utf-8", "replace")[:MAX_MANIFEST_BYTES]}
    return given if letter.task in (CLASSIFY, REVIEW) else {"task": str(letter.task), "arguments": given}


def _recorded(content: JsonValue, storage: Storage) -> bool:
    """Whether its last delivery came to its end after all."""
    try:
        return storage.exists(record_key_of(parse_manifest(content if isinstance(content, dict) else {})))
    except ManifestError:
        return False
