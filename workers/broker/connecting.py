"""How Celery and Redis clients reach the broker and the state store: time limits, certificates, confirms."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit

import amqp
import redis
from celery import Celery
from kombu import Connection
from kombu.exceptions import KombuError, OperationalError
from pydantic import SecretStr
from redis.retry import Retry

from workers.broker.declared import dead_queue, lane_queues
from workers.broker.settings import Broker, Tls, scheme_of

HEARTBEAT_S = 20
"""RabbitMQ and its clients miss one another after two of these without a word."""

VISIBILITY = "liverisk_visibility_timeout_s"
"""The transport's option that says how long a message may be with a worker of Redis."""
NEVER_S = 10 * 365 * 86_400

NO_ROUTE = 312
"""What RabbitMQ gives a message back with that no queue takes."""

UNKNOWN_SIGNER = (18, 19, 20, 21)
"""OpenSSL's codes (X509_V_ERR_…) of a chain that ends in nobody whom this side knows."""

RETRIES = {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3, "interval_max": 1.0}
"""Of connecting and sending, wherever somebody waits for it; a worker itself tries for ever."""

AWAY = (OperationalError, KombuError, amqp.exceptions.AMQPError, OSError)
"""What speaking to a broker may raise, whichever it is; `redis.RedisError` comes on top where it is asked itself."""


class BrokerError(Exception):
    """The broker does not do what is asked of it; one line without secrets. Worth a retry."""


class BrokerRefuses(BrokerError):
    """It never will, as long as the settings are what they are."""


def make_celery(name: str, broker: Broker) -> Celery:
    """An application that knows the queues; `broker.url` must be set."""
    assert broker.url is not None
    app = Celery(name, broker=broker.url.get_secret_value(), set_as_current=False)
    app.conf.update(
        # JSON is the only content: a message can never carry code.
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_queues=lane_queues(broker),
        broker_connection_timeout=broker.socket_timeout_s,
        broker_transport_options=_transport_options(broker),
        broker_use_ssl=_celery_tls(broker),
    )
    if broker.is_rabbit:
        app.conf.update(broker_heartbeat=HEARTBEAT_S, task_default_exchange="")
    return app


def connect_rabbit(broker: Broker) -> Connection:
    """One connection to RabbitMQ for one thread, with confirms; it connects when it is first used."""
    assert broker.url is not None
    return Connection(
        broker.url.get_secret_value(),
        connect_timeout=broker.socket_timeout_s,
        heartbeat=0,
        ssl=_celery_tls(broker),
        transport_options=_transport_options(broker),
    )


def declare(connection: Connection, broker: Broker) -> None:
    """Makes the queues where they are missing; `BrokerRefuses` says what to do about one that is not as it must be."""
    for queue in (*lane_queues(broker), dead_queue()):
        try:
            with connection.channel() as channel:
                queue(channel).declare()
        except amqp.exceptions.PreconditionFailed as error:
            raise BrokerRefuses(
                f"RabbitMQ has a queue {queue.name} with other arguments ({_difference(error)}): work it off and "
                "delete it (rabbitmqctl delete_queue), or set broker.delivery_limit to what it was made with"
            ) from None


def redis_client(url: SecretStr, tls: Tls, *, timeout_s: float, retry: Retry | None = None) -> redis.Redis:
    """A client with bounded waiting, which may be shared by threads."""
    files = {"ssl_ca_certs": tls.ca, "ssl_certfile": tls.certificate, "ssl_keyfile": tls.key}
    given = {name: str(path) for name, path in files.items() if path is not None}
    retries: dict[str, Any] = {} if retry is None else {"retry": retry}
    return redis.Redis.from_url(
        url.get_secret_value(), socket_timeout=timeout_s, socket_connect_timeout=timeout_s, **given, **retries
    )


def place_of(url: SecretStr) -> str:
    """Host and port, for messages: the rest of an address may hold a password."""
    parts = urlsplit(url.get_secret_value())
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def in_a_line(error: BaseException) -> str:
    """What went wrong with a broker: the class of the cause and, of what RabbitMQ refuses, its word for it."""
    cause = error.__cause__ or error
    if isinstance(cause, amqp.exceptions.AccessRefused):
        return "it refuses the name or the password"
    if isinstance(cause, amqp.exceptions.NotAllowed):
        return "there is no such virtual host, or no access to it"
    if isinstance(cause, amqp.exceptions.PreconditionFailed):
        return f"a queue has other arguments: {_difference(cause)}; the workers' log says what to do"
    if isinstance(cause, amqp.exceptions.ChannelError) and cause.reply_code == NO_ROUTE:
        return "the lane is gone"
    return distrust(error, "broker") or type(cause).__name__


def distrust(error: BaseException, section: str) -> str | None:
    """Why TLS failed and what to set in that section of the settings, where a certificate is the cause."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            unknown = cause.verify_code in UNKNOWN_SIGNER
            advice = f"; set {section}.tls.ca to the file of who signed it" if unknown else ""
            return f"its certificate is not accepted ({cause.verify_message}){advice}"
        cause = cause.__cause__ or cause.__context__
    return None


def refusal(place: str, error: BaseException) -> BrokerError:
    """What was raised while speaking to the broker, as one line."""
    cause = error.__cause__ or error
    lasting = isinstance(cause, amqp.exceptions.AccessRefused | amqp.exceptions.NotAllowed)
    kind = BrokerRefuses if lasting or distrust(error, "broker") else BrokerError
    return kind(f"broker at {place}: {in_a_line(error)}")


def _transport_options(broker: Broker) -> dict[str, Any]:
    timeout_s = broker.socket_timeout_s
    if broker.is_rabbit:
        # A message is sent when RabbitMQ says that it has it: on disk, in most replicas.
        return {"confirm_publish": True, "read_timeout": timeout_s, "write_timeout": timeout_s, **RETRIES}
    return {
        # kombu would bring messages back by the clock of whichever machine looks; `RedisTaker` does it by the server's.
        "visibility_timeout": NEVER_S,
        VISIBILITY: broker.visibility_timeout_s,
        "queue_order_strategy": "priority",
        "socket_timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }


def _celery_tls(broker: Broker) -> dict[str, Any] | None:
    """Certificates as each transport calls them; None where the address is not a safe one."""
    assert broker.url is not None
    if scheme_of(broker.url) not in ("rediss", "amqps"):
        return None
    prefix = "ssl_" if scheme_of(broker.url) == "rediss" else ""
    named = {"ca_certs": broker.tls.ca, "certfile": broker.tls.certificate, "keyfile": broker.tls.key}
    given = {f"{prefix}{name}": str(path) for name, path in named.items() if path is not None}
    host = {} if prefix else {"server_hostname": urlsplit(broker.url.get_secret_value()).hostname}
    return {f"{prefix}cert_reqs": ssl.CERT_REQUIRED, **given, **host}


def _difference(error: amqp.exceptions.PreconditionFailed) -> str:
    """Which argument, in RabbitMQ's words: `inequivalent arg 'x-queue-type' for queue … received … current is …`."""
    return str(error.reply_text).partition(" - ")[2].partition(" in vhost")[0] or "unnamed"
