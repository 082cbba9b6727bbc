"""Which of several processes works, while the others wait: a key in the broker's store that runs out by itself."""

from __future__ import annotations

import os
import platform
import secrets

import redis


class Lease:
    """Two holders at a time are possible after a long pause of one, so their work must bear being done twice."""

    def __init__(self, client: redis.Redis, key: str, seconds: int) -> None:
        self._client = client
        self._key = key
        self._seconds = seconds
        self._token = f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}"

    def hold(self, seconds: int | None = None) -> bool:
        """Takes or keeps it for so long, or for its usual time; False while another process has it."""
        if self._client.set(self._key, self._token, nx=True, ex=seconds or self._seconds):
            return True
        if not self._ours():
            return False
        self._client.expire(self._key, seconds or self._seconds)
        return True

    def give_up(self) -> None:
        """Lets another process have it at once."""
        if self._ours():
            self._client.delete(self._key)

    def _ours(self) -> bool:
        holder = self._client.get(self._key)
        return isinstance(holder, bytes) and holder.decode() == self._token
