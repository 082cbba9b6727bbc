"""Which of several processes works, while the others wait: a key in the broker's store that runs out by itself."""

from __future__ import annotations

import os
import platform
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import redis

FEEDER_KEY = "liverisk:feeder"
"""There while a feeder works: who takes the lease of this name feeds the runs."""


class Lease:
    """Two holders at a time are possible after a long pause of one, so their work must bear being done twice."""

    def __init__(self, client: redis.Redis, key: str, seconds: int) -> None:
        self._client = client
        self._key = key
        self._seconds = seconds
        self._token = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"

    def hold(self) -> bool:
        """Takes or keeps it for its time; False while another process has it."""
        if self._client.set(self._key, self._token, nx=True, ex=self._seconds):
            return True
        if not self._ours():
            return False
        self._client.expire(self._key, self._seconds)
        return True

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Keeps it through work that may take longer than its time; should this process die, it runs out as ever."""
        done = threading.Event()

        def keep() -> None:
            while not done.wait(self._seconds / 3):
                with suppress(redis.RedisError):
                    self.hold()

        keeper = threading.Thread(target=keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()

    def give_up(self) -> None:
        """Lets another process have it at once."""
        if self._ours():
            self._client.delete(self._key)

    def _ours(self) -> bool:
        holder = self._client.get(self._key)
        return isinstance(holder, bytes) and holder.decode() == self._token
