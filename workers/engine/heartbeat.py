"""Where engines tell the pool how they are: a key a host in the broker's store, which runs out by itself."""

from __future__ import annotations

from collections.abc import Mapping

import redis

_KEY = "liverisk:engine:"
TTL_S = 20


def beat(client: redis.Redis, host: str, said: str) -> None:
    """Keeps what the engine of this host says for a while."""
    client.set(f"{_KEY}{host}", said, ex=TTL_S)


def beats(client: redis.Redis) -> Mapping[str, bytes]:
    """Host -> what its engine last said, in order of the hosts."""
    keys = sorted(client.scan_iter(match=f"{_KEY}*", count=1000))
    said = {key.decode().removeprefix(_KEY): client.get(key) for key in keys}
    return {host: raw for host, raw in said.items() if isinstance(raw, bytes)}
