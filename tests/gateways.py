"""A gateway before a real S3 server that misbehaves by rule: it refuses, keeps silent, or loses the answer to what
the server did. Everything else passes through as it came, signatures included.
"""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

HOP_BY_HOP = {"connection", "keep-alive", "expect", "transfer-encoding", "proxy-connection"}


@dataclass
class Exchange:
    """One request on its way; what becomes of it is the rule's to say."""

    method: str
    path: str
    access_key: str
    _pass_on: Callable[[], tuple[int, list[tuple[str, str]], bytes]]
    _reply: Callable[[int, list[tuple[str, str]], bytes], None]
    _hang_up: Callable[[], None]
    over: threading.Event

    def passed(self) -> None:
        """The server's answer, as it is."""
        self._reply(*self._pass_on())

    def done_and_lost(self) -> None:
        """The server does what it was asked, and nobody hears of it."""
        self._pass_on()
        self._hang_up()

    def done_and_denied(self, status: int, code: str) -> None:
        """The server does what it was asked, and the answer says that it did not."""
        self._pass_on()
        self.answered(status, code)

    def answered(self, status: int, code: str | None = None, *, text: bytes = b"") -> None:
        """An answer in the server's stead; with a `code`, in S3's words."""
        said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>-</Message></Error>".encode()
        kind = "application/xml" if code else "text/html"
        self._reply(status, [("Content-Type", kind)], said if code else text)

    def half(self) -> None:
        """Half of the server's answer; then the connection breaks."""
        status, headers, body = self._pass_on()
        self._reply(status, headers, body[: len(body) // 2])
        self._hang_up()

    def kept_waiting(self) -> None:
        """No byte, until the gateway closes or its rules are cleared."""
        self.over.wait()
        self._hang_up()


Rule = Callable[[Exchange], None]


@dataclass
class _Matching:
    method: str
    below: str
    rule: Rule
    left: int


@dataclass
class Gateway:
    """Listens on a port of its own. `seen` is every request as `METHOD path`, in order."""

    endpoint_url: str
    seen: list[str] = field(default_factory=list)
    _rules: list[_Matching] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        gateway = self

        class Handler(_Handler):
            behind: ClassVar[Gateway] = gateway

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gateway", daemon=True).start()

    def on(self, method: str, below: str, rule: Rule, *, times: int = 1_000_000) -> None:
        """The next `times` requests of this method, `*` for any, whose path holds `below` get what the rule does."""
        with self._lock:
            self._rules.append(_Matching(method, below, rule, times))

    def clear(self) -> None:
        """From now on everything passes, and whoever waits is hung up on."""
        with self._lock:
            self._rules.clear()
            over, self._over = self._over, threading.Event()
        over.set()

    def count(self, method: str, below: str) -> int:
        with self._lock:
            return sum(1 for one in self.seen if one.startswith(f"{method} ") and below in one)

    def close(self) -> None:
        self.clear()
        self._server.shutdown()
        self._server.server_close()

    def rule_for(self, method: str, path: str) -> tuple[Rule, threading.Event]:
        with self._lock:
            self.seen.append(f"{method} {path}")
            for one in self._rules:
                if one.left > 0 and one.method in (method, "*") and one.below in path:
                    one.left -= 1
                    return one.rule, self._over
            return Exchange.passed, self._over


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behind: ClassVar[Gateway]

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        rule, over = self.behind.rule_for(self.command, self.path)
        signed = self.headers.get("Authorization", "").partition("Credential=")[2]
        rule(
            Exchange(
                method=self.command,
                path=self.path,
                access_key=signed.partition("/")[0],
                _pass_on=lambda: self._pass_on(body),
                _reply=self._reply,
                _hang_up=self._hang_up,
                over=over,
            )
        )

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""

    def _pass_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        store = http.client.HTTPConnection(urlsplit(self.behind.endpoint_url).netloc, timeout=30)
        try:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP_BY_HOP:
                    store.putheader(name, value)
            store.endheaders(body)
            answer = store.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP]
            return answer.status, headers, answer.read()
        finally:
            store.close()

    def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers) and status not in (204, 304):
            self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(2)


for _method in ("GET", "PUT", "HEAD", "POST", "DELETE"):
    setattr(_Handler, f"do_{_method}", _Handler._handle)
