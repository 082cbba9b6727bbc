"""A real store behind a gateway that misbehaves: what is written once, tried again, and called by its name."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from tests.gateways import Exchange, Gateway, Rule
from workers.config import Config, Store
from workers.storage import ATTEMPTS, BucketMissing, ObjectMissing, Storage, StorageError
from workers.store_errors import Contended, StoreFull, StoreRefuses

SILENCE_S = 2.0
"""A busy machine's store takes its time over an answer, too."""
KEY = "records/one"


@pytest.fixture
def settings(config: Config, gateway: Gateway) -> Store:
    """The test's bucket, reached through the gateway."""
    return config.store.model_copy(update={"endpoint_url": gateway.url})


@pytest.fixture
def through(settings: Store) -> Storage:
    return Storage(settings, silence_s=SILENCE_S)


def refused(status: int, code: str | None = None) -> Rule:
    return lambda exchange: exchange.answered(status, code)


def denied_although_done(status: int, code: str) -> Rule:
    return lambda exchange: exchange.done_and_denied(status, code)


TRANSIENT = {
    "500": (refused(500, "InternalError"), 2),
    "502 of a gateway": (refused(502), 2),
    "503": (refused(503, "ServiceUnavailable"), 2),
    "slow down": (refused(503, "SlowDown"), 1),
    "a request that took too long": (refused(400, "RequestTimeout"), 1),
    "silence": (Exchange.kept_waiting, 1),
    "a lost answer": (Exchange.done_and_lost, 1),
    "a lost answer, twice": (Exchange.done_and_lost, 2),
    "done, and called a failure": (denied_although_done(500, "InternalError"), 1),
    "a conflict with another write": (refused(409, "ConditionalRequestConflict"), 2),
    "a conflict without a word": (refused(409), 1),
}
"""What a store says or does not say before it works again, and how often."""


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_write_that_must_happen_once_does_although_the_store_first_answers_with(
    name: str, gateway: Gateway, through: Storage, storage: Storage
) -> None:
    rule, times = TRANSIENT[name]
    gateway.on("PUT", KEY, rule, times=times)
    assert through.put_once(KEY, b"mine")
    assert storage.get(KEY) == b"mine"
    assert gateway.count("PUT", KEY) == times + 1
    assert not through.put_once(KEY, b"another's")
    assert storage.get(KEY) == b"mine"


def test_of_writers_whose_answers_are_lost_exactly_one_believes_that_it_won(
    gateway: Gateway, through: Storage, storage: Storage
) -> None:
    gateway.on("PUT", KEY, Exchange.done_and_lost, times=6)
    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(lambda n: through.put_once(KEY, b"%d" % n), range(6)))
    assert won.count(True) == 1
    assert storage.get(KEY) == b"%d" % won.index(True)


def test_a_replacement_whose_answer_is_lost_is_ours_and_the_next_one_on_the_old_state_is_not(
    gateway: Gateway, through: Storage, storage: Storage
) -> None:
    storage.put("registry/x", b"old")
    _, etag = storage.get_with_etag("registry/x")
    gateway.on("PUT", "registry/x", Exchange.done_and_lost, times=1)
    assert through.replace("registry/x", b"new", etag=etag)
    assert not through.replace("registry/x", b"another's", etag=etag)
    assert storage.get("registry/x") == b"new"


def test_a_write_that_conflicts_every_time_ends_and_says_so(gateway: Gateway, through: Storage) -> None:
    gateway.on("PUT", KEY, refused(409, "ConditionalRequestConflict"))
    with pytest.raises(Contended, match=r"^put records/one: met another write 6 times$"):
        through.put_once(KEY, b"mine")


CALLS: dict[str, Callable[[Storage], object]] = {
    "GET": lambda storage: storage.get(KEY),
    "HEAD": lambda storage: storage.exists(KEY),
    "PUT": lambda storage: storage.put_once(KEY, b"mine"),
    "DELETE": lambda storage: storage.delete(KEY),
}


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize("rule", [refused(500, "InternalError"), Exchange.kept_waiting], ids=["500", "silence"])
def test_a_store_that_keeps_failing_is_given_up_on_after_a_few_attempts_and_never_called_empty(
    method: str, rule: Rule, gateway: Gateway, settings: Store, storage: Storage
) -> None:
    storage.put(KEY, b"there")
    gateway.on(method, KEY, rule)
    began = time.monotonic()
    with pytest.raises(StorageError) as failed:
        CALLS[method](Storage(settings, silence_s=0.3))
    assert type(failed.value) is StorageError
    assert "\n" not in str(failed.value)
    assert gateway.count(method, KEY) == ATTEMPTS
    assert time.monotonic() - began < 10


def test_the_waits_between_attempts_differ(gateway: Gateway, through: Storage) -> None:
    moments: list[float] = []

    def late(exchange: Exchange) -> None:
        moments.append(time.monotonic())
        exchange.answered(503, "ServiceUnavailable")

    gateway.on("GET", "media/", late)
    for number in range(3):
        with pytest.raises(StorageError):
            through.get(f"media/{number}")
    waits = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len({round(wait, 4) for wait in waits}) > 3


def test_what_a_gateway_answers_for_a_store_that_is_away_is_no_word_about_the_object(
    gateway: Gateway, through: Storage, storage: Storage
) -> None:
    storage.put(KEY, b"there")
    gateway.on("GET", KEY, lambda exchange: exchange.answered(404, text=b"<html>default backend</html>"))
    with pytest.raises(StorageError) as failed:
        through.get(KEY)
    assert not isinstance(failed.value, ObjectMissing | BucketMissing)
    with pytest.raises(ObjectMissing):
        through.get("records/none")
    assert not through.exists("records/none")


def test_an_answer_that_breaks_off_is_asked_for_again_and_never_a_shorter_object(
    gateway: Gateway, through: Storage, storage: Storage
) -> None:
    storage.put(KEY, b"0123456789" * 1000)
    gateway.on("GET", KEY, Exchange.half, times=1)
    assert len(through.get(KEY)) == 10_000
    gateway.on("GET", KEY, Exchange.half, times=2)
    with pytest.raises(StorageError) as failed:
        through.get(KEY)
    assert type(failed.value) is StorageError


FULL = [(507, None), (507, "XMinioStorageFull"), (403, "QuotaExceeded"), (403, "InsufficientStorageSpace")]


@pytest.mark.parametrize(("status", "code"), FULL)
def test_a_full_store_is_called_full_and_takes_writes_when_there_is_room(
    status: int, code: str | None, gateway: Gateway, through: Storage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    gateway.on("PUT", "", refused(status, code))
    for write in (
        lambda: through.put_once(KEY, b"mine"),
        lambda: through.put("media/x", b""),
        lambda: through.put_file("media/y", tmp_path / "file"),
        through.check_takes_writes,
    ):
        with pytest.raises(StoreFull, match=rf"^put \S+: {code or status}$"):
            write()
    gateway.clear()
    through.check_takes_writes()
    assert through.put_once(KEY, b"mine")


EXPIRED = [
    (400, "ExpiredToken"),
    (403, "ExpiredToken"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (403, None),
]


@pytest.mark.parametrize(("status", "code"), EXPIRED)
def test_credentials_out_of_files_are_read_again_when_they_are_refused(
    status: int, code: str | None, gateway: Gateway, settings: Store, tmp_path: Path
) -> None:
    """Each kind of request meets the refusal once; whoever asked notices nothing."""
    assert settings.access_key is not None
    assert settings.secret_key is not None
    good = {"access_key": settings.access_key.get_secret_value(), "secret_key": settings.secret_key.get_secret_value()}
    files = {f"{name}_file": tmp_path / name for name in good}
    old = {"access_key": SecretStr("expired"), "secret_key": SecretStr("expired")}
    through = Storage(settings.model_copy(update={**old, **files}), silence_s=SILENCE_S)

    def checked(exchange: Exchange) -> None:
        if exchange.access_key == "expired":
            exchange.answered(status, code)
        else:
            exchange.passed()

    gateway.on("*", "", checked)
    for name in good:
        (tmp_path / name).write_text("expired\n")
    with pytest.raises(StoreRefuses) as failed:
        through.put(KEY, b"mine")
    assert str(failed.value) == f"put {KEY}: {code or status}"
    for name, secret in good.items():
        (tmp_path / name).write_text(f"{secret}\n")
    through.put(KEY, b"mine")
    assert through.get(KEY) == b"mine"
    assert through.exists(KEY)


def test_credentials_that_botocore_finds_are_looked_for_again_when_they_are_refused(
    gateway: Gateway, settings: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert settings.access_key is not None
    assert settings.secret_key is not None
    shared = tmp_path / "credentials"
    shared.write_text(
        "[default]\naws_access_key_id = expired\naws_secret_access_key = expired\naws_session_token = t\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    through = Storage(settings.model_copy(update={"access_key": None, "secret_key": None}), silence_s=SILENCE_S)
    gateway.on("*", "", lambda one: one.answered(403, "ExpiredToken") if one.access_key == "expired" else one.passed())
    with pytest.raises(StoreRefuses):
        through.put(KEY, b"mine")
    shared.write_text(
        f"[default]\naws_access_key_id = {settings.access_key.get_secret_value()}\n"
        f"aws_secret_access_key = {settings.secret_key.get_secret_value()}\n"
    )
    through.put(KEY, b"mine")
    assert through.get(KEY) == b"mine"


def test_nothing_to_sign_with_and_a_file_that_is_gone_are_refusals_in_one_line(
    settings: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    nothing = settings.model_copy(update={"access_key": None, "secret_key": None})
    with pytest.raises(StoreRefuses, match=r"^get media/x: NoCredentialsError$"):
        Storage(nothing).get("media/x")
    gone = {"access_key": SecretStr("expired"), "secret_key_file": tmp_path / "gone"}
    with pytest.raises(StoreRefuses) as failed:
        Storage(settings.model_copy(update=gone)).get("media/x")
    said = f"get media/x: store.secret_key_file: {tmp_path / 'gone'} cannot be read (FileNotFoundError)"
    assert str(failed.value) == said
