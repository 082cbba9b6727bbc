"""A child process that cannot outlive its parent: started, watched, stopped in bounded time."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from workers.parenthood import end_with_parent


class StackError(Exception):
    """A part of the embedded stack does not do what it should; one line that names its log."""


class Child:
    """One program of the stack. Start it from a thread that lives as long as it should: see `end_with_parent`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        grace_s: float = 10,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._grace_s = grace_s
        self._environment = dict(environment) if environment is not None else None
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts it in a session of its own, so that a terminal's Ctrl-C reaches only the parent."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd=self._directory,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # prctl only: takes no lock
            )

    def wait_until(self, ready: Callable[[], bool], *, timeout_s: float) -> None:
        """Returns when `ready` says so; `StackError` when the program ends or the time is up first."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if not self.running:
                raise StackError(f"{self.name} ended while starting; see {self.log}")
            if time.monotonic() > deadline:
                raise StackError(f"{self.name} was not ready after {timeout_s:.0f} s; see {self.log}")
            time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL, at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def terminate(self) -> None:
        """Asks it to end; `stop` waits for that."""
        if self.running and self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """SIGTERM, then SIGKILL to what is left of its session after the grace."""
        if self._process is None:
            return
        self.terminate()
        try:
            self._process.wait(self._grace_s)
        except subprocess.TimeoutExpired:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            self._process.wait()


def _end_with_parent() -> None:
    # Without grace: what was acknowledged is durable, and the next start must find sockets, data and locks free.
    end_with_parent(signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """TCP ports of the loopback interface that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
