"""A model hub on loopback: one repository whose files a test sets, served as the hub's client asks for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

REPOSITORY = "somebody/tiny"
FIRST_COMMIT = "a" * 40
SECOND_COMMIT = "b" * 40


class Hub(ThreadingHTTPServer):
    """`commits` maps a commit to its files; `head` is the commit that main points to."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Requests)
        self.commits = {FIRST_COMMIT: files}
        self.head = FIRST_COMMIT

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def push(self, commit: str, files: dict[str, bytes]) -> None:
        self.commits[commit] = files
        self.head = commit


class Requests(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self._list(path.removeprefix(f"/api/models/{REPOSITORY}/tree/"))
        elif path.startswith(f"/api/models/{REPOSITORY}"):
            self._describe(path.removeprefix(f"/api/models/{REPOSITORY}").removeprefix("/revision/"))
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            commit, _, name = path.removeprefix(f"/{REPOSITORY}/resolve/").partition("/")
            self._file(commit, name)
        else:
            self._answer(404, b"{}")

    def _describe(self, revision: str) -> None:
        commit = self.server.head if revision in ("", "main") else revision
        if commit not in self.server.commits:
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        siblings = [{"rfilename": name} for name in self.server.commits[commit]]
        self._answer(200, json.dumps({"id": REPOSITORY, "sha": commit, "siblings": siblings}).encode())

    def _list(self, commit: str) -> None:
        files = self.server.commits.get(commit, {})
        tree = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in files.items()
        ]
        self._answer(200, json.dumps(tree).encode())

    def _file(self, commit: str, name: str) -> None:
        content = self.server.commits.get(commit, {}).get(name)
        if content is None:
            self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        etag = hashlib.sha256(content).hexdigest()
        self._answer(200, content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'})

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
        del format, args


@contextmanager
def running(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)
    thread = Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
