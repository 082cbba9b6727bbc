"""Clients that know nothing but the documentation: their messages are the ones that the pool understands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.lanes import messages, queued
from workers.config import Config

CLIENTS = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", CLIENTS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("program", EXAMPLES, ids=["celery", "raw"])
def test_the_documented_client_puts_a_segment_into_the_live_lane(
    program: str, config: Config, broker: redis.Redis, tmp_path: Path
) -> None:
    assert config.broker.url is not None
    assert not re.search(r"^\s*(import|from) (workers|pipelines)", program, re.MULTILINE)
    command = [sys.executable, "-I", "-c", program, config.broker.url.get_secret_value()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    [manifest] = queued(broker)
    assert (manifest.stream_id, manifest.segment_id) == ("room-42", "20260131T120000.000Z")


def test_both_clients_write_what_the_documentation_calls_the_message(
    config: Config, broker: redis.Redis, tmp_path: Path
) -> None:
    assert config.broker.url is not None
    for program in EXAMPLES:
        command = [sys.executable, "-I", "-c", program, config.broker.url.get_secret_value()]
        subprocess.run(command, cwd=tmp_path, timeout=60, check=True)
    by_celery, raw = messages(broker)
    assert set(json.loads(json.dumps(raw["headers"]))) <= set(json.loads(json.dumps(by_celery["headers"])))
    assert raw.keys() == by_celery.keys()
    assert raw["body"] == by_celery["body"]
