"""The store's promises, on a real S3 server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from workers.config import Config
from workers.storage import ObjectMissing, ObjectTooLarge, Storage, StorageError


def test_an_object_is_read_whole_or_by_range(storage: Storage) -> None:
    storage.put("media/a", b"0123456789")
    assert storage.get("media/a") == b"0123456789"
    assert storage.get("media/a", offset=3, length=4) == b"3456"


def test_an_object_larger_than_allowed_is_not_read(storage: Storage) -> None:
    storage.put("media/a", b"0123456789")
    assert storage.get("media/a", max_bytes=10) == b"0123456789"
    assert storage.get("media/a", offset=3, length=4, max_bytes=4) == b"3456"
    with pytest.raises(ObjectTooLarge, match=r"^media/a: 10 bytes, more than 9$"):
        storage.get("media/a", max_bytes=9)
    with pytest.raises(ObjectTooLarge):
        storage.get("media/a", offset=0, length=5, max_bytes=4)


def test_a_missing_object_is_told_apart_from_a_failing_store(storage: Storage) -> None:
    with pytest.raises(ObjectMissing, match="media/none"):
        storage.get("media/none")
    assert not storage.exists("media/none")


def test_of_ten_writers_exactly_one_wins_and_its_bytes_stay(storage: Storage) -> None:
    with ThreadPoolExecutor(10) as pool:
        won = list(pool.map(lambda n: storage.put_once("records/x", str(n).encode()), range(10)))
    assert won.count(True) == 1
    assert storage.get("records/x") == str(won.index(True)).encode()


def test_writing_the_same_bytes_again_is_our_own_write(storage: Storage) -> None:
    assert storage.put_once("records/y", b"mine")
    assert storage.put_once("records/y", b"mine")
    assert not storage.put_once("records/y", b"theirs")


def test_the_store_proves_that_it_writes_once(storage: Storage) -> None:
    storage.check_writes_once()
    assert list(storage.keys("probe/")) == []


def test_keys_come_in_order_and_only_below_the_prefix(storage: Storage) -> None:
    for key in ("a/2", "a/1", "b/1"):
        storage.put(key, b"")
    assert list(storage.keys("a/")) == ["a/1", "a/2"]


def test_a_wrong_secret_is_refused_in_one_line(config: Config, storage: Storage) -> None:
    wrong = config.store.model_copy(update={"secret_key": SecretStr("wrong")})
    with pytest.raises(StorageError) as caught:
        Storage(wrong).get("media/a")
    assert "\n" not in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_a_store_that_does_not_answer_is_named_in_one_line(config: Config) -> None:
    away = config.store.model_copy(update={"endpoint_url": "http://127.0.0.1:9"})
    with pytest.raises(StorageError, match="get media/a: "):
        Storage(away, patient=False).get("media/a")
