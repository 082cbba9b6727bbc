"""A broker behind TLS: both sides are checked, and what is wrong is one line."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.certificates import make_certificates
from tests.rabbitmq import RabbitMQ
from tests.segments import store_segment
from workers.broker.checks import check_broker
from workers.broker.queues import open_queues
from workers.broker.settings import Broker, State, Tls
from workers.config import Config, ConfigError
from workers.publish import Publisher
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
def rabbit(folder: Path, certificates: dict[str, Path]) -> Iterator[str]:
    """The address of a RabbitMQ that speaks TLS only, and asks for a certificate."""
    server = RabbitMQ(folder / "rabbitmq", PASSWORD, tls=certificates)
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


@pytest.fixture
def safe(rabbit: str, config: Config, certificates: dict[str, Path]) -> Config:
    """The test's settings with a broker behind TLS."""
    tls = Tls(ca=certificates["ca"], certificate=certificates["client"], key=certificates["client_key"])
    broker = Broker(url=SecretStr(rabbit), tls=tls, socket_timeout_s=3)
    return config.model_copy(update={"broker": broker, "state": State(url=config.broker.url)})


def test_messages_and_state_pass_when_both_sides_are_who_they_say(safe: Config, storage: Storage) -> None:
    check_broker(safe, patience_s=10)
    with Publisher(safe) as publisher:
        publisher.send(store_segment(storage, "room", frames=[]))
    with open_queues(safe) as queues:
        assert queues.waiting("live") >= 1


@pytest.mark.parametrize("lacks", ["ca", "client"])
def test_who_does_not_know_the_authority_or_has_no_certificate_is_refused_in_one_line(
    lacks: str, safe: Config, certificates: dict[str, Path]
) -> None:
    tls = Tls(ca=certificates["ca"]) if lacks == "client" else safe.broker.tls.model_copy(update={"ca": None})
    wrong = safe.model_copy(update={"broker": safe.broker.model_copy(update={"tls": tls})})
    with pytest.raises(ConfigError) as refused:
        check_broker(wrong, patience_s=0)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)
