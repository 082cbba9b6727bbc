"""A network that can be cut: what connects to it reaches a port of this machine, unless it is told otherwise."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

CHUNK = 65536


class Wire:
    """Listens on a port of its own and passes bytes on, both ways. New connections are taken after a cut, too."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listening.getsockname()[1])
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._parted = False
        self._passing = threading.Event()
        self._passing.set()
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def cut(self) -> int:
        """Breaks every connection at once; how many there were."""
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        return len(ends) // 2

    def part(self) -> int:
        """Breaks every connection, and each new one at once, until `join`; how many there were."""
        self._parted = True
        return self.cut()

    def hush(self) -> int:
        """Passes nothing on and tells nobody, until `join`, as a network does that loses packets; on how many."""
        self._passing.clear()
        with self._lock:
            return len(self._ends) // 2

    def join(self) -> None:
        """Passes everything on again, what waited included."""
        self._parted = False
        self._passing.set()

    def close(self) -> None:
        self._listening.close()
        self.join()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._ends |= {near, far}
            if self._parted:
                self.cut()
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                self._passing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._ends -= {source, sink}
        source.close()
