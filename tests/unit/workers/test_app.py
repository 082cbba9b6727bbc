"""The delivery promises, read off the settings that Celery gets."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr

from workers.app import make_app, message_in
from workers.config import Broker, Config, ConfigError
from workers.lanes import CLASSIFY, LANES


@pytest.fixture
def settings() -> Config:
    return Config(broker=Broker(url=SecretStr("redis://:password@127.0.0.1:1/0")))


def test_messages_are_acknowledged_late_and_come_back_when_a_child_dies(settings: Config) -> None:
    conf = make_app(settings).conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.task_acks_on_timeout is False


def test_nothing_waits_inside_a_worker(settings: Config) -> None:
    assert make_app(settings).conf.worker_prefetch_multiplier == 1


def test_json_is_the_only_content(settings: Config) -> None:
    conf = make_app(settings).conf
    assert conf.accept_content == ["json"]
    assert conf.task_serializer == "json"


def test_lanes_are_queues_served_in_their_order(settings: Config) -> None:
    conf = make_app(settings).conf
    assert [queue.name for queue in conf.task_queues] == list(LANES)
    assert conf.broker_transport_options["queue_order_strategy"] == "priority"


def test_a_running_segment_is_not_delivered_again(settings: Config) -> None:
    conf = make_app(settings).conf
    assert conf.broker_transport_options["visibility_timeout"] > conf.task_time_limit > conf.task_soft_time_limit


def test_the_task_has_the_name_that_clients_send(settings: Config) -> None:
    assert CLASSIFY == "liverisk.classify"
    assert CLASSIFY in make_app(settings).tasks


def test_arguments_that_are_no_manifest_are_passed_on_whole_instead_of_lost() -> None:
    assert message_in(({"a": 1},), {}) == {"a": 1}
    assert message_in((), {"manifest": {"a": 1}}) == {"a": 1}
    assert message_in((1, 2), {"b": 3}) == {"args": [1, 2], "kwargs": {"b": 3}}
    assert message_in((), {}) == {"args": [], "kwargs": {}}


def test_without_a_broker_one_line_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match="liverisk up"):
        make_app(Config())


def test_what_a_worker_imports_brings_no_model_library() -> None:
    program = (
        "import sys, workers.app\n"
        "heavy = {'torch', 'ctranslate2', 'transformers', 'onnxruntime', 'faster_whisper', 'rapidocr', 'sklearn'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
