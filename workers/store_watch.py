"""A store that does not do what is asked of it: said once, told to whoever asks for the pool's state, and looked at
again before the next segment, so that no model works for a record that cannot be written.

Messages stay in their lanes meanwhile. Whoever renews the credentials or makes room need not restart anything.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import redis

from workers.storage import Storage, StorageError
from workers.store_errors import OF_ONE_OBJECT

logger = logging.getLogger(__name__)

_KEY = "liverisk:store-trouble:"
TTL_S = 60
"""Longer than a store that keeps silent takes to be given up on, so that what is told does not come and go."""


class StoreStillAway(StorageError):
    """The store was in trouble before this segment, and still is; nothing was tried."""


class StoreWatch:
    """What one child knows of its store. `host` is in whose name trouble is told."""

    def __init__(self, storage: Storage, client: redis.Redis, host: str) -> None:
        self._storage, self._client, self._host = storage, client, host
        self._trouble: type[StorageError] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around one message. Raises `StoreStillAway` before it begins, if there is no use in it."""
        if self._trouble is not None:
            self._look_again()
        try:
            yield
        except OF_ONE_OBJECT:
            raise
        except StorageError as error:
            self._note(error)
            raise
        with suppress(redis.RedisError):
            self._client.delete(f"{_KEY}{self._host}")

    def _look_again(self) -> None:
        try:
            self._storage.check_takes_writes()
        except StorageError as error:
            self._note(error)
            raise StoreStillAway(str(error)) from None
        logger.warning("store works again, segments go on")
        self._trouble = None

    def _note(self, error: StorageError) -> None:
        """Logged when it begins and when it becomes another; told to the pool every time."""
        if self._trouble is not type(error):
            logger.error("store does not work, segments wait in their lanes: %s", error)
        self._trouble = type(error)
        with suppress(redis.RedisError):
            self._client.set(f"{_KEY}{self._host}", str(error), ex=TTL_S)


def store_troubles(client: redis.Redis) -> Mapping[str, str]:
    """Host -> what its workers lately could not do with the store. Raises `redis.RedisError`."""
    keys = sorted(client.scan_iter(match=f"{_KEY}*", count=1000))
    said = {key.decode().removeprefix(_KEY): client.get(key) for key in keys}
    return {host: raw.decode() for host, raw in said.items() if isinstance(raw, bytes)}
