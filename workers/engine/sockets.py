"""The sockets between workers and engine: opened, greeted and closed, and never waiting for a silent peer.

`multiprocessing.connection` frames the messages and proves the key, but waits without end: its listener
greets one caller after the other, so that one mute connection would keep everybody out. Here the kernel
gives up on a peer that says nothing, and each caller is greeted in a thread of its own.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from pathlib import Path

from workers.engine.address import Address
from workers.engine.errors import AlreadyRunning

BACKLOG = 128
FOREVER = 0.0
_SHORTEST_S = 0.001


class KeyRefused(Exception):
    """One end does not know the other's key, or does not speak this protocol at all."""


@contextmanager
def sole_engine(address: Address) -> Iterator[None]:
    """Holds the address's lock, released by the kernel however the process ends; `AlreadyRunning` if taken."""
    if isinstance(address, tuple):
        yield  # the port itself is the lock
        return
    directory = Path(address).parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with Path(f"{address}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyRunning(address) from None
        Path(address).unlink(missing_ok=True)
        yield


def listen(address: Address) -> Listener:
    """Accepts without a greeting: that is `admit`'s, in the caller's thread. A socket file is for its owner only."""
    previous = os.umask(0o077)
    try:
        return Listener(address, backlog=BACKLOG)
    finally:
        os.umask(previous)


def admit(connection: Connection[bytes, bytes], key: bytes | None, *, patience_s: float) -> None:
    """The engine's half of the greeting. `KeyRefused`, `OSError` or `EOFError` when the caller fails it."""
    if key is None:
        return
    set_patience(connection, patience_s)
    try:
        deliver_challenge(connection, key)
        answer_challenge(connection, key)
    except (AuthenticationError, AssertionError):
        raise KeyRefused from None
    set_patience(connection, FOREVER)


def connect(address: Address, key: bytes | None, *, patience_s: float) -> Connection[bytes, bytes]:
    """A greeted connection. `OSError` or `EOFError` when no engine answers in time, `KeyRefused` for our key."""
    family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
    with socket.socket(family) as opened:
        _bound(opened, patience_s)
        opened.connect(address)
        connection: Connection[bytes, bytes] = Connection(opened.detach())
    try:
        if key is not None:
            answer_challenge(connection, key)
            deliver_challenge(connection, key)
    except (AuthenticationError, AssertionError):
        connection.close()
        raise KeyRefused from None
    except BaseException:
        connection.close()
        raise
    return connection


def set_patience(connection: Connection[bytes, bytes], seconds: float) -> None:
    """Has a read or write that makes no progress for so long fail with `BlockingIOError`; `FOREVER` waits."""
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        _bound(duplicate, seconds)


def hang_up(connection: Connection[bytes, bytes]) -> None:
    """Shuts the connection down under a thread that may be reading it, which closing alone would not wake."""
    with socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)


def _bound(opened: socket.socket, seconds: float) -> None:
    """Kernel time-outs, as Python's own would make the descriptor non-blocking for `Connection` too."""
    opened.setblocking(True)  # whatever default the process has
    whole, part = divmod(seconds if seconds == FOREVER else max(_SHORTEST_S, seconds), 1)
    limit = struct.pack("@ll", int(whole), int(part * 1e6))
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
