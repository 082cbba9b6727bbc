"""Broker and state store behind TLS: both sides are checked, and what is wrong is one line."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.certificates import make_certificates
from tests.rabbitmq import RabbitMQ, scripts
from tests.segments import store_segment
from workers.broker.checks import check_broker
from workers.broker.queues import open_queues
from workers.broker.settings import Broker, State, Tls
from workers.config import Config, ConfigError
from workers.publish import Publisher, PublishError
from workers.stack.processes import Child, free_ports
from workers.stack.valkey import _binary
from workers.state import connect
from workers.storage import Storage

PASSWORD = "a-word-of-its-own"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="liverisk-tls-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture(scope="module")
def certificates(folder: Path) -> dict[str, Path]:
    return make_certificates(folder)


@pytest.fixture(scope="module")
def valkey(folder: Path, certificates: dict[str, Path]) -> Iterator[str]:
    """The address of a Valkey that speaks TLS only, and asks for a certificate."""
    [port] = free_ports(1)
    options = {
        "bind": "127.0.0.1",
        "port": "0",
        "tls-port": str(port),
        "tls-ca-cert-file": certificates["ca"],
        "tls-cert-file": certificates["certificate"],
        "tls-key-file": certificates["key"],
        "requirepass": PASSWORD,
        "save": '""',
        "dir": folder,
    }
    (folder / "valkey.conf").write_text("".join(f"{name} {value}\n" for name, value in options.items()))
    server = Child("valkey", [str(_binary()), str(folder / "valkey.conf")], log=folder / "valkey.log")
    server.start()
    yield f"rediss://:{PASSWORD}@localhost:{port}/0"
    server.stop()


@pytest.fixture(scope="module")
def rabbit(folder: Path, certificates: dict[str, Path]) -> Iterator[str]:
    """The address of a RabbitMQ that speaks TLS only, and asks for a certificate."""
    if scripts() is None:
        pytest.skip("needs RabbitMQ: make rabbitmq")
    server = RabbitMQ(folder / "rabbitmq", PASSWORD, tls=certificates)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(params=["valkey", "rabbit"])
def safe(request: pytest.FixtureRequest, config: Config, certificates: dict[str, Path]) -> Config:
    """The test's settings with a broker behind TLS."""
    url = SecretStr(request.getfixturevalue(request.param))
    tls = Tls(ca=certificates["ca"], certificate=certificates["client"], key=certificates["client_key"])
    state = State(url=None if request.param == "valkey" else config.broker.url)
    return config.model_copy(update={"broker": Broker(url=url, tls=tls, socket_timeout_s=3), "state": state})


def test_messages_and_state_pass_when_both_sides_are_who_they_say(safe: Config, storage: Storage) -> None:
    check_broker(safe, patience_s=10)
    with Publisher(safe) as publisher:
        publisher.send(store_segment(storage, "room", frames=[]))
    with open_queues(safe) as queues:
        assert queues.waiting("live") >= 1
    with connect(safe) as client:
        assert client.ping()


@pytest.mark.parametrize("lacks", ["ca", "client"])
def test_who_does_not_know_the_authority_or_has_no_certificate_is_refused_in_one_line(
    lacks: str, safe: Config, storage: Storage, certificates: dict[str, Path]
) -> None:
    tls = Tls(ca=certificates["ca"]) if lacks == "client" else safe.broker.tls.model_copy(update={"ca": None})
    wrong = safe.model_copy(update={"broker": safe.broker.model_copy(update={"tls": tls})})
    with pytest.raises(ConfigError) as refused:
        check_broker(wrong, patience_s=0)
    with Publisher(wrong) as publisher, pytest.raises(PublishError) as unsent:
        publisher.send(store_segment(storage, "room", frames=[]))
    for said in (str(refused.value), str(unsent.value)):
        assert "\n" not in said
        assert PASSWORD not in said
