"""Logging of every process: one line an event, ids and sizes and classes, never content."""

from __future__ import annotations

import logging
import sys
import traceback
from pathlib import Path

from celery.worker.consumer import consumer

_QUOTING = frozenset(
    {consumer.UNKNOWN_FORMAT, consumer.UNKNOWN_TASK_ERROR, consumer.INVALID_TASK_ERROR, consumer.MESSAGE_DECODE_ERROR}
)
"""What Celery says of messages it cannot use; each quotes the message."""


class _WithoutContent(logging.Filter):
    """Replaces lines that quote a message by one that says what happened."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _QUOTING:
            record.msg, record.args, record.exc_info = "unusable message refused", (), None
        return True


def set_up_logging(level: str = "INFO") -> None:
    """Lines to standard error: time, level, logger, event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(_WithoutContent())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("boto3", "botocore", "urllib3", "kombu", "faster_whisper", "httpx", "celery.redirected"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def raised_at(error: BaseException) -> str:
    """Where it was raised, `module:line`; never what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
