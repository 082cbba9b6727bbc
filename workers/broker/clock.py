"""One clock for what one host notes and another compares: that of the broker's Redis or Valkey.

A sender whose own clock is six minutes late would have its live segments shed on arrival, as if they had waited.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.broker.connecting import redis_client
from workers.broker.settings import Broker

AGAIN_S = 60.0
"""The difference to our own clock is measured this often: clocks drift, and are set."""
PATIENCE_S = 2.0


class BrokerClock:
    """For one thread at a time. RabbitMQ tells no time: there, and until the server answers, it is our own."""

    def __init__(self, broker: Broker, *, own: Callable[[], float] = time.time) -> None:
        self._broker = broker
        self._own = own
        self._ahead_s = 0.0
        self._asked_at = float("-inf")

    def now(self) -> float:
        """Epoch seconds."""
        if time.monotonic() - self._asked_at >= AGAIN_S:
            self._asked_at = time.monotonic()
            self._ask()
        return self._own() + self._ahead_s

    def _ask(self) -> None:
        if self._broker.url is None or self._broker.is_rabbit:
            return
        try:
            with redis_client(
                self._broker.url, self._broker.tls, timeout_s=PATIENCE_S, retry=Retry(NoBackoff(), 0)
            ) as client:
                client.ping()  # connects, which takes longer than asking
                before = self._own()
                now = server_time(client)
                self._ahead_s = now - (before + self._own()) / 2
        except (redis.RedisError, OSError):
            return  # whoever asks finds out soon enough that the broker is away


def server_time(client: redis.Redis) -> float:
    """Epoch seconds by the server's clock. May raise `redis.RedisError`."""
    said = client.time()
    assert isinstance(said, tuple)
    return float(said[0]) + float(said[1]) / 1e6
