"""Real servers for every test that needs one: started once a session, a fresh bucket and database a test."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import hypothesis
import pytest
import redis
from pydantic import SecretStr
from xdist.scheduler import LoadScopeScheduling

from pipelines.media import DecodeLimits
from tests.gateways import Gateway
from tests.rabbitmq import RabbitMQ
from workers.config import Config, load_config
from workers.decoder.contained import Contained
from workers.stack.services import Services
from workers.state import connect
from workers.storage import Storage

# How fast examples come says how busy the machine is, not whether the code is right.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("patient")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DATABASES = 512
VHOSTS = 32
_database = itertools.count(1)


SHARES_A_POOL = ("test_crashes", "test_pool", "test_connections", "test_sampling", "test_swap")
TAKES_MINUTES = ("test_demo", *SHARES_A_POOL, "test_up", "test_chaos")


class LongestFirst(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Deals out files of tests: first what takes minutes; what shares a pool to one process, which starts it once."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return "pool" if Path(file).stem in SHARES_A_POOL else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LongestFirst:
    config.option.loadscopereorder = False
    return LongestFirst(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(TAKES_MINUTES)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


LONGEST_S = 60.0
"""For what takes a second: a busy machine may be many times slower, and who waits for a condition loses nothing."""


class WaitUntil(Protocol):
    """The type of `wait_for`."""

    def __call__(
        self, predicate: Callable[[], object], description: str, *, timeout_s: float = LONGEST_S
    ) -> object: ...


def wait_for(predicate: Callable[[], object], description: str, *, timeout_s: float = LONGEST_S) -> object:
    """What the predicate returned once it is true; fails with the description when the time is up."""
    deadline = time.monotonic() + timeout_s
    while not (outcome := predicate()):
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s until {description}"
        time.sleep(0.05)
    return outcome


@pytest.fixture
def wait_until() -> WaitUntil:
    return wait_for


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """A real Valkey and a real S3 server. If one cannot start, the tests that need it fail."""
    # Not pytest's own directory: socket paths must stay short.
    directory = Path(tempfile.mkdtemp(prefix="liverisk-test-"))
    try:
        with Services(directory, databases=DATABASES) as running:
            yield running
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def decoder() -> Iterator[Contained]:
    """A decode helper that runs already, for every bench of a session: starting one takes half a second."""
    with Contained(DecodeLimits(timeout_s=60, segment_s=60)) as opened:
        yield opened.started()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[RabbitMQ]:
    """A real RabbitMQ; where none is installed, what needs it fails, and says so."""
    directory = Path(tempfile.mkdtemp(prefix="liverisk-rabbit-"))
    server = RabbitMQ(directory, password=uuid.uuid4().hex, vhosts=VHOSTS)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def state_directory() -> Iterator[Path]:
    """A short path for sockets and state of one test."""
    directory = Path(tempfile.mkdtemp(prefix="liverisk-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def config(services: Services, state_directory: Path) -> Config:
    """The shipped settings on the real servers, with a bucket and a database of the test's own."""
    configured = services.config(load_config(environment={}), bucket=f"test-{uuid.uuid4().hex[:16]}")
    return own_database(configured, services).model_copy(update={"state_directory": state_directory})


def own_database(config: Config, services: Services) -> Config:
    """The settings with a database of the broker's store that nobody else uses."""
    url = services.valkey.url.removesuffix("/0") + f"/{next(_database) % DATABASES}"
    broker = config.broker.model_copy(update={"url": SecretStr(url)})
    return config.model_copy(update={"broker": broker})


@pytest.fixture
def storage(config: Config) -> Iterator[Storage]:
    """Its bucket goes with the test: the server keeps room free for each, and would run out of it."""
    opened = Storage(config.store)
    opened.make_bucket()
    yield opened
    opened._client.delete_bucket(Bucket=opened.bucket)


@pytest.fixture
def gateway(config: Config, storage: Storage) -> Iterator[Gateway]:
    """A way to the test's store on which things go wrong by rule."""
    assert config.store.endpoint_url is not None
    opened = Gateway(config.store.endpoint_url)
    yield opened
    opened.close()


@pytest.fixture
def broker(config: Config) -> Iterator[redis.Redis]:
    """A client of the test's own database of the broker's store."""
    with connect(config) as client:
        yield client


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        pytest.skip("needs ../shared/data")
    return SHARED_DATA
