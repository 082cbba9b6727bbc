"""How far a source may reach: public addresses, and the networks that the settings name.

Names are resolved here, every address behind them is checked, and the connection goes to an address that was checked: a
name that points elsewhere a moment later gains nothing.
"""

from __future__ import annotations

import ipaddress
import logging
import selectors
import socket
import threading
from collections.abc import Sequence
from contextlib import closing, suppress
from urllib.parse import urlsplit

from pydantic import IPvAnyNetwork

logger = logging.getLogger(__name__)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
CONNECT_S = 10.0
HEAD_S = 10.0
MAX_HEAD_BYTES = 64 * 1024
PIECE_BYTES = 64 * 1024


class OutOfReach(Exception):
    """A place that no source may be at; one line that names neither path nor query."""


class Reach:
    """Which addresses are allowed. Loopback, link-local, private and reserved ones are not unless they are named."""

    def __init__(self, networks: Sequence[IPvAnyNetwork]) -> None:
        self.networks = tuple(networks)

    def allows(self, address: IPAddress) -> bool:
        """Whether it may be connected to; an address that wraps another one counts as both."""
        if any(address in network for network in self.networks):
            return True
        wrapped = _wrapped(address)
        if wrapped is not None and not self.allows(wrapped):
            return False
        return _is_public(address)

    def addresses(self, host: str, port: int) -> list[str]:
        """What the name stands for. `OutOfReach` when one of them is not allowed, `OSError` when there are none."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        known = list(dict.fromkeys(str(where[0]).partition("%")[0] for *_, where in found))
        for address in known:
            if not self.allows(ipaddress.ip_address(address)):
                raise OutOfReach(f"{host} is at {address}, where no source may be; sampler.allow_networks names others")
        return known

    def connected(self, host: str, port: int) -> socket.socket:
        """A connection to the first of its addresses that answers."""
        failed: OSError = OSError("no address")
        for address in self.addresses(host, port):
            try:
                return socket.create_connection((address, port), timeout=CONNECT_S)
            except OSError as error:
                failed = error
        raise failed


def _is_public(address: IPAddress) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return True  # it is what the address in it is
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast


def _wrapped(address: IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address that is reached through this one."""
    if not isinstance(address, ipaddress.IPv6Address):
        return None
    if address in NAT64:
        return ipaddress.IPv4Address(address.packed[12:])
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)


class Gate:
    """An HTTP proxy on the loopback interface that ffmpeg is told to use: playlists, redirects and all go through it.

    One connection, one request. `refused` says why the last one led nowhere: out of reach, or nobody answered.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self.refused: OutOfReach | OSError | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._listen, name="gate", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Takes no connection any more; those that are open end with the source."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), name="gate-connection", daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        with closing(near), suppress(OSError, ValueError):
            near.settimeout(HEAD_S)
            head, rest = _head(near)
            method, target, host, port = _asked(head[0])
            try:
                far = self._reach.connected(host, port)
            except OutOfReach as refused:
                self.refused = refused
                logger.warning("source refused a connection reason=out_of_reach")
                near.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            except OSError as error:
                self.refused = error
                near.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            self.refused = None
            with closing(far):
                if method == "CONNECT":
                    near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    far.sendall(rest)
                else:
                    far.sendall(_forwarded(method, target, head[1:]) + rest)
                _relay(near, far)


def _head(near: socket.socket) -> tuple[list[bytes], bytes]:
    """The lines of the request's head, and what came after it. `ValueError` when it does not end."""
    received = b""
    while b"\r\n\r\n" not in received:
        if len(received) > MAX_HEAD_BYTES or not (more := near.recv(PIECE_BYTES)):
            raise ValueError("no head")
        received += more
    head, _, rest = received.partition(b"\r\n\r\n")
    return head.split(b"\r\n"), rest


def _asked(line: bytes) -> tuple[str, str, str, int]:
    """Method, path, host and port of a request line as proxies get it. `ValueError` when it is none."""
    method, target, _ = line.decode("latin-1").split(" ")
    there = urlsplit(f"//{target}" if method == "CONNECT" else target)
    if not there.hostname or there.scheme not in ("", "http"):
        raise ValueError("no place")
    path = (there.path or "/") + (f"?{there.query}" if there.query else "")
    return method, path, there.hostname, there.port or 80


def _forwarded(method: str, path: str, headers: Sequence[bytes]) -> bytes:
    """The head as the far side expects it; it is asked to close, as the next request may be for another place."""
    kept = [line for line in headers if not line.lower().startswith((b"proxy-", b"connection:"))]
    return b"\r\n".join([f"{method} {path} HTTP/1.1".encode("latin-1"), *kept, b"Connection: close", b"", b""])


def _relay(near: socket.socket, far: socket.socket) -> None:
    """Passes bytes on until one side is through."""
    near.settimeout(None)
    far.settimeout(None)
    with selectors.DefaultSelector() as ready:
        ready.register(near, selectors.EVENT_READ, far)
        ready.register(far, selectors.EVENT_READ, near)
        while True:
            for key, _ in ready.select():
                came: socket.socket = near if key.data is far else far
                if not (piece := came.recv(PIECE_BYTES)):
                    return
                key.data.sendall(piece)
