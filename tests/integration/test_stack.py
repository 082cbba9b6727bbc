"""The embedded broker and store: closed to strangers, and nothing acknowledged is lost when they are killed."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil
import pytest
import redis
from botocore import UNSIGNED
from botocore.config import Config as ClientConfig
from botocore.exceptions import ClientError
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import wait_for
from workers.config import Config, load_config
from workers.stack.credentials import credentials_in
from workers.stack.processes import StackError
from workers.stack.services import Services
from workers.state import connect
from workers.storage import Storage, StorageError

OWNER = """
import json, sys, threading
from pathlib import Path
from workers.stack.services import Services
with Services(Path(sys.argv[1])) as services:
    print(json.dumps([services.valkey.url, services.valkey.child.pid, services.seaweedfs.child.pid]), flush=True)
    threading.Event().wait()
"""


@dataclass(frozen=True)
class Owner:
    """Another process that runs a stack."""

    process: subprocess.Popen[str]
    broker_url: str
    servers: tuple[psutil.Process, ...]

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def own(state_directory: Path) -> Iterator[Services]:
    """Servers of the test's own, to be killed as it likes."""
    with Services(state_directory) as running:
        yield running


@contextmanager
def owner(directory: Path) -> Iterator[Owner]:
    with subprocess.Popen([sys.executable, "-c", OWNER, directory], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url, *pids = json.loads(process.stdout.readline())
            yield Owner(process, url, tuple(map(psutil.Process, pids)))
        finally:
            process.kill()


def settings(services: Services) -> Config:
    return services.config(load_config(environment={}))


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("password", [None, "wrong"])
def test_the_broker_refuses_who_does_not_know_the_password(services: Services, password: str | None) -> None:
    once = Retry(NoBackoff(), 0)
    with (
        redis.Redis(port=services.valkey.port, password=password, retry=once) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


@pytest.mark.parametrize("operation", ["list_buckets", "list_objects_v2", "put_object"])
def test_the_store_refuses_anonymous_callers(storage: Storage, operation: str) -> None:
    client = boto3.client(
        "s3",
        endpoint_url=storage.settings.endpoint_url,
        region_name=storage.settings.region,
        config=ClientConfig(signature_version=UNSIGNED),
    )
    arguments: dict[str, dict[str, object]] = {
        "list_buckets": {},
        "list_objects_v2": {"Bucket": storage.bucket},
        "put_object": {"Bucket": storage.bucket, "Key": "stranger", "Body": b"x"},
    }
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(client, operation)(**arguments[operation])


@pytest.mark.parametrize(
    ("field", "code"), [("access_key", "InvalidAccessKeyId"), ("secret_key", "SignatureDoesNotMatch")]
)
def test_the_store_refuses_wrong_credentials(storage: Storage, field: str, code: str) -> None:
    wrong = {**storage.settings.model_dump(), field: "wrong"}
    with pytest.raises(StorageError, match=code):
        Storage(type(storage.settings).model_validate(wrong)).get("records/any")


def test_broker_and_store_listen_on_the_loopback_interface_only(services: Services) -> None:
    for child in (services.valkey.child, services.seaweedfs.child):
        assert child.pid is not None
        opened = psutil.Process(child.pid).net_connections("inet")
        listening = [one for one in opened if one.status == psutil.CONN_LISTEN or one.type.name == "SOCK_DGRAM"]
        assert listening
        assert {one.laddr.ip for one in listening} == {"127.0.0.1"}


def test_no_password_stands_on_a_command_line(services: Services) -> None:
    credentials = credentials_in(services.state_directory)
    pids = [services.valkey.child.pid, services.seaweedfs.child.pid]
    for line in (" ".join(psutil.Process(pid).cmdline()) for pid in pids):
        for secret in (credentials.broker_password, credentials.access_key, credentials.secret_key):
            assert secret not in line


def test_every_file_that_holds_a_password_is_its_owners_alone(own: Services) -> None:
    credentials = credentials_in(own.state_directory)
    secrets = [credentials.broker_password.encode(), credentials.secret_key.encode()]
    files = [path for path in own.state_directory.rglob("*") if path.is_file()]
    holding = [path for path in files if any(secret in path.read_bytes() for secret in secrets)]
    assert {path.name for path in holding} == {"credentials.json", "valkey.conf", "s3.json"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holding} == {0o600}


def test_a_killed_broker_comes_back_with_its_queue(own: Services) -> None:
    with connect(settings(own)) as client:
        client.rpush("live", *map(str, range(500)))
    own.valkey.child.kill()
    own.valkey.start()
    with connect(settings(own)) as client:
        assert client.lrange("live", 0, -1) == [str(number).encode() for number in range(500)]


def test_a_killed_store_comes_back_with_every_acknowledged_object(own: Services) -> None:
    storage = Storage(settings(own).store)
    storage.make_bucket()
    small = {f"records/{number}": os.urandom(2_000) for number in range(100)}
    large = {f"media/{number}": os.urandom(300_000) for number in range(20)}
    for key, body in {**small, **large}.items():
        storage.put(key, body)
    own.seaweedfs.child.kill()
    own.seaweedfs.start()
    assert {key: storage.get(key) for key in (*small, *large)} == small | large


def test_a_second_stack_in_the_same_directory_is_refused_in_one_line(services: Services) -> None:
    with pytest.raises(StackError, match=r"^a stack is already running in \S+$"):
        Services(services.state_directory)


def test_a_stack_that_has_stopped_lets_the_next_one_in_and_stops_only_once(state_directory: Path) -> None:
    first = Services(state_directory)
    first.stop()
    second = Services(state_directory)
    first.stop()
    with pytest.raises(StackError):
        Services(state_directory)
    second.stop()


def test_a_server_that_cannot_start_is_named_with_its_log(state_directory: Path) -> None:
    stack = Services(state_directory)
    with (
        socket.create_server(("127.0.0.1", stack.valkey.port)),
        pytest.raises(StackError, match=r"^valkey ended while starting; see .*valkey\.log$"),
    ):
        stack.start()
    assert stack.seaweedfs.child.pid is None


def test_no_server_outlives_a_killed_owner(state_directory: Path) -> None:
    with owner(state_directory) as running:
        running.kill()
        wait_for(lambda: all(map(gone, running.servers)), "both servers have ended")


def test_what_a_killed_owner_left_does_not_hinder_the_next_start(state_directory: Path) -> None:
    with owner(state_directory) as running:
        with redis.Redis.from_url(running.broker_url) as client:
            client.set("kept", "yes")
        running.kill()
    with Services(state_directory) as following, connect(settings(following)) as client:
        assert client.get("kept") == b"yes"
