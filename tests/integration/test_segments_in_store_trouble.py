"""Segments while their store is out of order: put back and not lost, not doubled, not called what they are not."""

from __future__ import annotations

import logging
import platform
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from billiard.exceptions import SoftTimeLimitExceeded

from pipelines.items import Item, Result
from pipelines.policies import POLICY_IDS
from pipelines.text.lexicon_file import LEXICONS_DIRECTORY
from tests import engines
from tests.conftest import wait_for
from tests.gateways import Exchange, Gateway
from tests.modelless_workers import modelless_worker, send_no_manifests
from tests.segments import jpeg, store_segment
from workers import quarantine
from workers.classify import Bench, classify
from workers.config import Config, Worker
from workers.decoder.contained import Contained
from workers.health import store_problem
from workers.lexicons import Lexicons
from workers.records import read_record, record_key_of, record_keys
from workers.status import read_status
from workers.storage import Storage, StorageError
from workers.store_errors import StoreFull, StoreRefuses
from workers.store_watch import StoreStillAway

CALM = dict.fromkeys(POLICY_IDS, 0.001)
HOST = platform.node()


def slots(asked: list[int]) -> dict[str, tuple[str, engines.Predict]]:
    """Calm models; the pictures that they saw are counted."""

    def looks(items: Sequence[Item]) -> Sequence[Result]:
        asked.append(len(items))
        return engines.calm({"nsfw": 0.01, "sfw": 0.99})(items)

    return {
        "vision.nudity": ("open-nsfw", looks),
        "speech": ("whisper-base", engines.silent),
        "ocr": ("pp-ocrv6", engines.textless),
        "text.risk": ("e5-small-risk", engines.calm(CALM)),
    }


@pytest.fixture
def behind(config: Config, gateway: Gateway) -> Config:
    """The test's settings, the store behind the gateway; segments have little time."""
    quick = Worker(deadline_s=5, soft_time_limit_s=10, time_limit_s=15, max_attempts=2)
    store = config.store.model_copy(update={"endpoint_url": gateway.url})
    return config.model_copy(update={"worker": quick, "store": store})


@pytest.fixture(scope="module")
def lexicons() -> Lexicons:
    """Read once: they are not what this is about."""
    return Lexicons(LEXICONS_DIRECTORY)


@pytest.fixture
def bench(behind: Config, storage: Storage, decoder: Contained, lexicons: Lexicons) -> Iterator[Bench]:
    opened = Bench.open(behind, lexicons, decoder)
    yield opened
    opened.engine.close()
    opened.redis.close()


@pytest.fixture
def asked() -> list[int]:
    return []


@contextmanager
def engine(bench: Bench, asked: list[int]) -> Iterator[None]:
    with engines.serving(bench.config, lambda: engines.engine(slots(asked))):
        yield


@pytest.mark.parametrize("status", [500, 404])
def test_media_that_cannot_be_fetched_put_the_segment_back_and_are_not_called_missing(
    status: int, bench: Bench, gateway: Gateway, storage: Storage, asked: list[int]
) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(1)], audio=None, chat=["hello"])
    gateway.on("GET", "/media/", lambda exchange: exchange.answered(status, text=b"<html>away</html>"))
    with engine(bench, asked):
        for _ in range(3):  # more often than a segment may crash
            with pytest.raises(StorageError):
                classify(manifest.as_message(), bench, lane="live")
        gateway.clear()
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"
    seen = read_record(storage, record_key_of(manifest)).observations.coverage
    assert (seen["frames"].status, seen["frames"].reason) == ("examined", None)
    assert list(quarantine.entries(storage)) == []


def test_a_record_whose_answer_is_lost_is_there_once_and_was_written_by_who_wrote_it(
    bench: Bench, gateway: Gateway, storage: Storage, asked: list[int]
) -> None:
    message = store_segment(storage, "room", chat=["hello"]).as_message()
    gateway.on("PUT", "/records/", Exchange.done_and_lost, times=1)
    with engine(bench, asked):
        assert classify(message, bench, lane="live") == "recorded"
        assert classify(message, bench, lane="live") == "known"
    assert len(list(record_keys(storage))) == 1


def test_a_record_that_nobody_can_tell_was_written_is_found_by_the_next_delivery(
    bench: Bench, gateway: Gateway, storage: Storage, asked: list[int]
) -> None:
    message = store_segment(storage, "room", chat=["hello"]).as_message()
    gateway.on("PUT", "/records/", Exchange.done_and_lost)
    with engine(bench, asked):
        with pytest.raises(StorageError):
            classify(message, bench, lane="live")
        (key,) = record_keys(storage)
        first = storage.get(key)
        gateway.clear()
        assert classify(message, bench, lane="live") == "known"
    assert storage.get(key) == first
    assert bench.state.history("room", "live")


@pytest.fixture
def time_is_up() -> Iterator[Callable[[], None]]:
    """Does what Celery does to a child whose soft time limit is over; the test stands for the child."""

    def over(*_: object) -> None:
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, over)
    yield lambda: signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("method", "below"), [("GET", "/media/"), ("PUT", "/records/")])
def test_a_segment_whose_time_is_up_while_the_store_keeps_silent_is_put_back_and_not_to_blame(
    method: str,
    below: str,
    bench: Bench,
    gateway: Gateway,
    storage: Storage,
    asked: list[int],
    time_is_up: Callable[[], None],
) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(1)], chat=["hello"])

    def ends_it(exchange: Exchange) -> None:
        time_is_up()
        exchange.kept_waiting()

    with engine(bench, asked):
        for _ in range(3):  # more often than a segment may crash
            gateway.on(method, below, ends_it, times=1)
            with pytest.raises(StorageError):
                classify(manifest.as_message(), bench, lane="live")
        gateway.clear()
        assert classify(manifest.as_message(), bench, lane="live") == "recorded"
    assert list(quarantine.entries(storage)) == []


def test_while_a_store_is_full_no_model_works_and_the_pool_says_why_until_there_is_room(
    bench: Bench,
    gateway: Gateway,
    storage: Storage,
    behind: Config,
    asked: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    manifest = store_segment(storage, "room", frames=[jpeg(1)], chat=["hello"])
    gateway.on("PUT", "", lambda exchange: exchange.answered(507, "XMinioStorageFull"))

    def attempt() -> str:
        with bench.watch.watched():
            return classify(manifest.as_message(), bench, lane="live")

    caplog.set_level(logging.INFO, "workers")
    with engine(bench, asked):
        with pytest.raises(StoreFull):
            attempt()
        worked = len(asked)
        for _ in range(3):
            with pytest.raises(StoreStillAway):
                attempt()
        assert len(asked) == worked > 0
        lines = [line for line in caplog.messages if "store" in line]
        assert lines == [
            f"store does not work, segments wait in their lanes: put {record_key_of(manifest)}: XMinioStorageFull"
        ]
        told = store_problem(behind)
        assert told is not None
        assert told.startswith("the store does not work: put probe/")
        assert "XMinioStorageFull" in read_status(behind).store.detail
        gateway.clear()
        assert attempt() == "recorded"
    assert caplog.messages.count("store works again, segments go on") == 1
    assert store_problem(behind) is None
    assert read_status(behind).store.answers
    assert bench.state.start_attempt(quarantine.segment_name(manifest)) == 1


def test_what_is_said_of_one_object_is_no_trouble_of_the_store(bench: Bench, behind: Config) -> None:
    for key in ("media/none", "media/none"):
        with pytest.raises(StorageError, match="no object"), bench.watch.watched():
            bench.storage.get(key)
    assert store_problem(behind) is None


def test_trouble_is_the_hosts_that_has_it(bench: Bench, behind: Config, gateway: Gateway) -> None:
    gateway.on("*", "", lambda exchange: exchange.answered(403, "ExpiredToken"))
    with pytest.raises(StoreRefuses), bench.watch.watched():
        bench.storage.get("media/x")
    assert store_problem(behind, host=HOST) == "the store does not work: get media/x: ExpiredToken"
    assert store_problem(behind, host="elsewhere") is None


def test_a_worker_whose_credentials_expired_keeps_messages_and_goes_on_by_itself_without_a_secret_in_its_log(
    behind: Config, gateway: Gateway, storage: Storage, state_directory: Path
) -> None:
    assert behind.broker.url is not None
    assert behind.store.access_key is not None
    assert behind.store.secret_key is not None
    with modelless_worker(behind, state_directory / "worker.log") as log:
        gateway.on("*", "", lambda exchange: exchange.answered(403, "ExpiredToken"))
        send_no_manifests(behind.broker.url.get_secret_value(), 4)
        wait_for(lambda: store_problem(behind), "the worker is not ready", timeout_s=60)
        wait_for(lambda: gateway.count("PUT", "/probe/") >= 2, "it looks at the store again", timeout_s=60)
        assert list(quarantine.entries(storage)) == []
        gateway.clear()
        wait_for(lambda: len(list(quarantine.entries(storage))) == 4, "every message is worked off", timeout_s=60)
        wait_for(lambda: store_problem(behind) is None, "the worker is ready")
    said = log.read_text()
    assert 1 <= said.count("store does not work, segments wait in their lanes") <= 2  # two children
    password = behind.broker.url.get_secret_value().partition("@")[0].rpartition(":")[2]
    for secret in (behind.store.access_key.get_secret_value(), behind.store.secret_key.get_secret_value(), password):
        assert secret not in said
