"""A broker behind TLS, of either kind: both sides are checked, and what is wrong is one line."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.certificates import make_certificates
from tests.conftest import wait_for
from tests.modelless_workers import modelless_worker, send_no_manifests
from tests.rabbitmq import RabbitMQ
from tests.segments import store_segment
from tests.tls_front import TlsFront
from workers.broker.checks import check_broker
from workers.broker.queues import open_queues
from workers.broker.settings import Broker, State, Tls
from workers.config import Config, ConfigError
from workers.publish import Publisher
from workers.quarantine import entries
from workers.stack.services import Services
from workers.state import StreamState, connect
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
    with pytest.raises(ConfigError, match="set broker.tls.ca" if lacks == "ca" else "broker") as refused:
        check_broker(wrong, patience_s=0)
    assert "\n" not in str(refused.value)
    assert PASSWORD not in str(refused.value)


@pytest.fixture
def front(services: Services, certificates: dict[str, Path]) -> Iterator[TlsFront]:
    with TlsFront(services.valkey.port, certificates) as opened:
        yield opened


@pytest.fixture
def safe_valkey(front: TlsFront, config: Config, services: Services, certificates: dict[str, Path]) -> Config:
    """The test's settings with its Valkey behind TLS; its password is the suite's."""
    assert config.broker.url is not None
    tls = Tls(ca=certificates["ca"], certificate=certificates["client"], key=certificates["client_key"])
    plain = config.broker.url.get_secret_value()
    url = plain.replace("redis://", "rediss://").replace(f"127.0.0.1:{services.valkey.port}", f"localhost:{front.port}")
    return config.model_copy(update={"broker": Broker(url=SecretStr(url), tls=tls, socket_timeout_s=3)})


def test_messages_and_state_pass_to_a_valkey_behind_tls_with_a_password(
    safe_valkey: Config, storage: Storage, state_directory: Path
) -> None:
    assert safe_valkey.broker.url is not None
    url = safe_valkey.broker.url.get_secret_value()
    check_broker(safe_valkey, patience_s=10)
    with Publisher(safe_valkey) as publisher:
        publisher.send(store_segment(storage, "room", frames=[]), "rescan")
    with open_queues(safe_valkey) as queues:
        assert queues.waiting("rescan") == 1
    with connect(safe_valkey) as client:
        state = StreamState(client, 60)
        assert [state.start_attempt("room/one") for _ in range(2)] == [1, 2]
    files = {name: str(path) for name, path in safe_valkey.broker.tls.model_dump().items()}
    settings = {f"LIVERISK__BROKER__TLS__{name.upper()}": path for name, path in files.items()}
    with modelless_worker(safe_valkey, state_directory / "worker.log", settings) as log:
        send_no_manifests(
            url, 2, ssl={"ssl_ca_certs": files["ca"], "ssl_certfile": files["certificate"], "ssl_keyfile": files["key"]}
        )
        wait_for(lambda: len(list(entries(storage))) == 2, "the worker has taken both", timeout_s=60)
    assert url.partition("@")[0].rpartition(":")[2] not in log.read_text()


@pytest.mark.parametrize("lacks", ["ca", "client", "password"])
def test_a_valkey_behind_tls_refuses_who_is_not_who_he_should_be_in_one_line(
    lacks: str, safe_valkey: Config, certificates: dict[str, Path]
) -> None:
    broker = safe_valkey.broker
    assert broker.url is not None
    url = broker.url.get_secret_value()
    password = url.partition("@")[0].rpartition(":")[2]
    wrong: dict[str, dict[str, Tls | SecretStr]] = {
        "ca": {"tls": broker.tls.model_copy(update={"ca": None})},
        "client": {"tls": Tls(ca=certificates["ca"])},
        "password": {"url": SecretStr(url.replace(password, PASSWORD))},
    }
    said = {
        "ca": "certificate is not accepted .* set broker.tls.ca",
        "client": "does not answer",
        "password": "is the password right?",
    }
    with pytest.raises(ConfigError, match=said[lacks]) as refused:
        check_broker(safe_valkey.model_copy(update={"broker": broker.model_copy(update=wrong[lacks])}), patience_s=0)
    assert "\n" not in str(refused.value)
    assert password not in str(refused.value)
    assert PASSWORD not in str(refused.value)
