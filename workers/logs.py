"""Logging of every process: one line an event, ids and sizes and classes, never content."""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from celery.worker.consumer import consumer

_QUOTING = frozenset(
    {consumer.UNKNOWN_FORMAT, consumer.UNKNOWN_TASK_ERROR, consumer.INVALID_TASK_ERROR, consumer.MESSAGE_DECODE_ERROR}
)
"""What Celery says of messages it cannot use; each quotes the message."""
_PAIR = re.compile(r"(?:^|\s)([a-z_]+)=(.*?)(?=\s[a-z_]+=|$)", re.DOTALL)
"""What our lines end with: `segment=room/s1/live lane=live latency_s=0.41`."""
_MEASURED = ("_s", "_mb", "_bytes")


class _WithoutContent(logging.Filter):
    """Replaces lines that quote a message by one that says what happened."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg in _QUOTING:
            record.msg, record.args, record.exc_info = "unusable message refused", (), None
        return True


class JsonLines(logging.Formatter):
    """One object a line. What a line names as `name=value` is a field of its own, a number where it is measured."""

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        first = _PAIR.search(text)
        line: dict[str, str | int | float] = {name: _value(name, value) for name, value in _PAIR.findall(text)}
        line |= {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process or 0,
            "event": text[: first.start()] if first else text,
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _value(name: str, value: str) -> str | float:
    try:
        return float(value) if name.endswith(_MEASURED) else value
    except ValueError:
        return value


def set_up_logging(level: str = "INFO", form: Literal["text", "json"] = "text") -> None:
    """Lines to standard error: time, level, logger, event; as text, or as JSON for whoever collects them."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    handler.setFormatter(JsonLines() if form == "json" else text)
    handler.addFilter(_WithoutContent())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("boto3", "botocore", "urllib3", "kombu", "faster_whisper", "httpx", "celery.redirected"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def raised_at(error: BaseException) -> str:
    """Where it was raised, `module:line`; never what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
