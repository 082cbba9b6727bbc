"""What a process of the pool makes sure of at its start: broker and state store keep what they are given."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import redis

from workers.broker.connecting import BrokerError, BrokerRefuses, distrust, place_of, redis_client
from workers.broker.queues import RabbitQueues, queues_of
from workers.config import Config, ConfigError

logger = logging.getLogger(__name__)

AGAIN_S = 2.0
LEAST_RABBIT = (3, 10)
"""The first RabbitMQ whose quorum queues hand over what reached its limit without losing it."""


def check_broker(config: Config, *, patience_s: float = float("inf")) -> None:
    """Waits until broker and state store answer; `ConfigError` says what to set when they break the pool's promises."""
    if config.broker.url is None or config.state_url is None:
        raise ConfigError("no broker: run `liverisk up` here, or set LIVERISK__BROKER__URL")
    _once_there(lambda: _check_redis(config), patience_s)
    _once_there(lambda: _check_queues(config), patience_s)


def _once_there(check: Callable[[], None], patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while True:
        try:
            return check()
        except (redis.AuthenticationError, redis.ResponseError) as error:
            raise ConfigError(f"the state store refuses us ({type(error).__name__}); is the password right?") from None
        except BrokerRefuses as error:
            raise ConfigError(str(error)) from None
        except (redis.RedisError, BrokerError) as error:
            why = str(error) if isinstance(error, BrokerError) else type(error).__name__
            if time.monotonic() > until:
                raise ConfigError(f"broker or state store does not answer: {why}") from None
            logger.warning("waiting for broker and state store error=%s", why)
            time.sleep(AGAIN_S)


def _check_redis(config: Config) -> None:
    """Of everything that is kept in Redis: the state store and, where that is Redis too, the broker."""
    state = (config.state_url, config.state_tls, "state" if config.state.url is not None else "broker")
    places = [state, (config.broker.url, config.broker.tls, "broker")]
    for url, tls, section in places[:1] if config.broker.is_rabbit else places:
        assert url is not None
        try:
            with redis_client(url, tls, timeout_s=config.broker.socket_timeout_s) as client:
                policy = client.info("memory").get("maxmemory_policy", "noeviction")
        except redis.ConnectionError as error:
            if (why := distrust(error, section)) is not None:
                raise BrokerRefuses(f"{place_of(url)}: {why}") from None
            raise
        if policy != "noeviction":
            raise ConfigError(
                f"{place_of(url)} drops what it keeps when its memory is full (maxmemory-policy {policy}): "
                "set maxmemory-policy noeviction"
            )


def _check_queues(config: Config) -> None:
    queues = queues_of(config)
    try:
        version = queues.version()
        if isinstance(queues, RabbitQueues) and _number(version) < LEAST_RABBIT:
            raise ConfigError(f"{version} drops messages that reach their delivery limit: use RabbitMQ 3.10 or newer")
    finally:
        queues.close()


def _number(version: str) -> tuple[int, ...]:
    digits = version.rpartition(" ")[2].split(".")[:2]
    return tuple(int(part) for part in digits if part.isdigit())
