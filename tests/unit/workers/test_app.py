"""The delivery promises, read off the settings that Celery gets."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from celery.exceptions import Reject, SoftTimeLimitExceeded
from pydantic import JsonValue, SecretStr

from workers.app import dropping, make_app, run_once, waited_s
from workers.broker.connecting import VISIBILITY
from workers.broker.settings import State, Tls
from workers.config import Broker, Config, ConfigError
from workers.lanes import CLASSIFY, CONCLUDE, LANES, REEXAMINE, message_in
from workers.runs.messages import MessageError, segment_call
from workers.runs.reexamination import OtherCheckpoint, Starved
from workers.runs.store import NoSuchRun
from workers.storage import StorageError


@pytest.fixture
def settings() -> Config:
    return Config(broker=Broker(url=SecretStr("redis://:password@127.0.0.1:1/0")))


@pytest.fixture
def on_rabbitmq() -> Config:
    broker = Broker(url=SecretStr("amqp://me:password@127.0.0.1:1//"))
    return Config(broker=broker, state=State(url=SecretStr("redis://:password@127.0.0.1:1/0")))


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


def test_on_rabbitmq_lanes_are_quorum_queues_that_lose_nothing(on_rabbitmq: Config) -> None:
    conf = make_app(on_rabbitmq).conf
    assert [queue.name for queue in conf.task_queues] == list(LANES)
    for queue in conf.task_queues:
        assert (queue.exchange.name, queue.routing_key) == ("", queue.name)
        assert queue.queue_arguments["x-queue-type"] == "quorum"
        assert queue.queue_arguments["x-delivery-limit"] > on_rabbitmq.worker.max_attempts
        assert queue.queue_arguments["x-dead-letter-strategy"] == "at-least-once"
    assert conf.broker_transport_options["confirm_publish"]
    assert conf.broker_heartbeat


@pytest.mark.parametrize(
    ("url", "prefix"), [("rediss://:word@broker.example:6379/0", "ssl_"), ("amqps://me:word@broker.example//", "")]
)
def test_certificates_of_a_safe_address_are_always_checked(url: str, prefix: str) -> None:
    broker = Broker(url=SecretStr(url), tls=Tls(ca=Path("ca.pem")))
    conf = make_app(Config(broker=broker, state=State(url=SecretStr("redis://h")))).conf
    assert conf.broker_use_ssl[f"{prefix}cert_reqs"] == ssl.CERT_REQUIRED
    assert conf.broker_use_ssl[f"{prefix}ca_certs"] == "ca.pem"
    assert conf.broker_use_ssl.get("server_hostname", "broker.example") == "broker.example"


def test_a_running_segment_is_not_delivered_again(settings: Config) -> None:
    conf = make_app(settings).conf
    assert conf.broker_transport_options[VISIBILITY] > conf.task_time_limit > conf.task_soft_time_limit


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


def test_tasks_of_runs_may_take_longer_than_live_ones_but_end_before_their_message_comes_back(settings: Config) -> None:
    app = make_app(settings)
    for name in (REEXAMINE, CONCLUDE):
        task = app.tasks[name]
        assert settings.bulk_deadline_s < task.soft_time_limit < task.time_limit < settings.broker.visibility_timeout_s


@pytest.mark.parametrize(
    ("queued_at", "waited"),
    [
        (1000.0, 50.0),
        (1050, 0.0),
        (1100.0, 0.0),
        (9e9, None),
        (-9e9, None),
        (float("nan"), None),
        (float("inf"), None),
        (10**400, None),
        (None, None),
        ("1000", None),
        (True, None),
    ],
)
def test_how_long_a_message_waited_is_known_only_from_a_sensible_header(
    queued_at: object, waited: float | None
) -> None:
    assert waited_s(queued_at, now=1050.0) == waited


def test_what_is_away_puts_a_message_back_and_so_does_what_nobody_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.app.PAUSE_S", (0, 0))
    for error in (Starved(), OtherCheckpoint(), StorageError("away"), ZeroDivisionError()):

        def fails(raised: Exception = error) -> None:
            raise raised

        with pytest.raises(Reject) as put_back:
            run_once(fails, "rescan")
        assert put_back.value.requeue


def test_a_message_comes_back_although_its_time_limit_passes_while_it_waits_to_be_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def over(_: float) -> None:
        raise SoftTimeLimitExceeded

    def away() -> None:
        raise StorageError("away")

    monkeypatch.setattr("workers.app.time.sleep", over)
    with pytest.raises(Reject) as put_back:
        run_once(away, "live")
    assert put_back.value.requeue


def test_a_message_of_a_run_that_means_nothing_is_dropped() -> None:
    def unknown() -> None:
        raise NoSuchRun("no run rescan-z")

    run_once(dropping(unknown), "rescan")


@pytest.mark.parametrize(
    "arguments",
    [[], ["run"], ["run", 0, 0], ["run", 1, -1], ["run", "1", 0], ["../x", 1, 0], ["run", 1, 0, 0], [None] * 3],
)
def test_arguments_that_name_no_segment_are_refused(arguments: list[JsonValue]) -> None:
    with pytest.raises(MessageError):
        segment_call(arguments, {})


def test_a_segment_may_be_named_by_keyword() -> None:
    call = segment_call(["run"], {"batch": 2, "index": 3})
    assert (call.run, call.batch, call.index) == ("run", 2, 3)


def test_a_worker_that_is_killed_leaves_no_temporary_folder(tmp_path: Path) -> None:
    program = (
        "from billiard import Value\n"
        "from workers.cli.worker import leave_no_folder\n"
        "leave_no_folder()\n"
        "counter = Value('i', 0)\n"
        "import os, signal\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    assert list(tmp_path.iterdir()) == []
