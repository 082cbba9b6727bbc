"""Where the broker is, where the pool keeps what it knows besides queues, and with which certificates both are met."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from pipelines.strict import YEAR_S, Seconds, Strict

REDIS_SCHEMES, RABBIT_SCHEMES = ("redis", "rediss"), ("amqp", "amqps")
SAFE_SCHEMES = ("rediss", "amqps")


class Tls(Strict):
    """PEM files for an address of rediss:// or amqps://. Certificate and host name of a server are always checked."""

    ca: Path | None = Field(default=None, description="who signed the server's certificate; null: the system's list")
    certificate: Path | None = Field(default=None, description="our own, where the server asks for one")
    key: Path | None = Field(default=None, description="of our certificate")

    @model_validator(mode="after")
    def _both_halves(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: set both or neither")
        return self


class Broker(Strict):
    url: SecretStr | None = Field(default=None, description="redis(s)://… is Redis or Valkey, amqp(s)://… is RabbitMQ")
    url_file: Path | None = Field(default=None, description="holds the address, for the password in it")
    tls: Tls = Tls()
    visibility_timeout_s: int = Field(
        default=120,
        ge=2,
        le=YEAR_S,
        description="when Redis gives back a dead worker's message; work on a run ends before it",
    )
    socket_timeout_s: Seconds = Field(default=10, gt=0)
    delivery_limit: int = Field(
        default=20, ge=2, le=1000, description="deliveries after which RabbitMQ puts a message aside"
    )

    @field_validator("url")
    @classmethod
    def _known_kind(cls, url: SecretStr | None) -> SecretStr | None:
        kinds = "Redis and Valkey are redis:// or rediss://, RabbitMQ is amqp:// or amqps://"
        return _of_scheme(url, (*REDIS_SCHEMES, *RABBIT_SCHEMES), f"is no broker for this pool; {kinds}")

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        _check_tls(self.url, self.tls)
        return self

    @property
    def is_rabbit(self) -> bool:
        """RabbitMQ queues, and remembers nothing else."""
        return self.url is not None and scheme_of(self.url) in RABBIT_SCHEMES


class State(Strict):
    url: SecretStr | None = Field(default=None, description="redis(s)://…; null: the broker's, where that is Redis")
    url_file: Path | None = None
    tls: Tls = Tls()
    ttl_s: int = Field(
        default=3600, ge=60, le=YEAR_S, description="temporal state of a silent stream is forgotten after this"
    )

    @field_validator("url")
    @classmethod
    def _speaks_redis(cls, url: SecretStr | None) -> SecretStr | None:
        return _of_scheme(url, REDIS_SCHEMES, "keeps no state; use redis:// or rediss://")

    @model_validator(mode="after")
    def _tls_is_used(self) -> Self:
        _check_tls(self.url, self.tls)
        return self


def check_together(broker: Broker, state: State, max_attempts: int) -> None:
    """`ValueError` when one of them cannot keep what the other leaves to it."""
    if broker.is_rabbit and state.url is None:
        raise ValueError("broker.url is RabbitMQ, which only queues: set state.url to a redis:// or rediss:// address")
    if broker.delivery_limit <= max_attempts:
        raise ValueError("broker.delivery_limit must exceed worker.max_attempts, which gives up first and says why")


def scheme_of(url: SecretStr) -> str:
    """`ValueError` for what is no address at all; Python's own quotes the address, with the password in it."""
    try:
        return urlsplit(url.get_secret_value()).scheme
    except ValueError:
        raise ValueError("is no address") from None


def _of_scheme(url: SecretStr | None, schemes: Sequence[str], otherwise: str) -> SecretStr | None:
    if url is not None and scheme_of(url) not in schemes:
        raise ValueError(f"{scheme_of(url)}:// {otherwise}")
    return url


def _check_tls(url: SecretStr | None, tls: Tls) -> None:
    """A certificate that nobody looks at would only seem to protect."""
    if tls != Tls() and url is not None and scheme_of(url) not in SAFE_SCHEMES:
        raise ValueError(f"tls is set, and {scheme_of(url)}:// does not use it; write {scheme_of(url)}s://")
