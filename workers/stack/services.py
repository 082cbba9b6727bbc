"""Broker and store of one machine, together: what the demo, `up` and the tests run on."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from workers.config import Broker, Config, State
from workers.stack.credentials import credentials_in
from workers.stack.processes import StackError
from workers.stack.seaweedfs import SeaweedFS
from workers.stack.valkey import Valkey


class Services:
    """Real servers under one state directory; one owner at a time. A context manager: leaving it stops them."""

    def __init__(self, state_directory: Path, *, databases: int = 16) -> None:
        self.state_directory = state_directory.resolve()
        self.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self.state_directory / "stack.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StackError(f"a stack is already running in {self.state_directory}") from None
        self._lock: int | None = lock
        credentials = credentials_in(self.state_directory)
        self.valkey = Valkey(self.state_directory / "valkey", credentials.broker_password, databases=databases)
        self.seaweedfs = SeaweedFS(self.state_directory / "seaweedfs", credentials)

    def start(self) -> None:
        """Returns when both answer; `StackError` names the log of the one that does not."""
        try:
            self.valkey.start()
            self.seaweedfs.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stops both and lets the state directory go; a second time does nothing."""
        self.seaweedfs.child.terminate()
        self.valkey.stop()
        self.seaweedfs.stop()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def config(self, base: Config, *, bucket: str = "liverisk") -> Config:
        """The settings with these servers in them."""
        broker = {**base.broker.model_dump(exclude={"tls"}), "url": self.valkey.url}
        store = self.seaweedfs.settings(bucket)
        return base.model_copy(
            update={
                "broker": Broker.model_validate(broker),
                "state": State(ttl_s=base.state.ttl_s),
                "store": store,
                "state_directory": self.state_directory,
            }
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
