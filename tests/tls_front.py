"""TLS before a server that speaks none, as the wheel's Valkey: asks for a certificate, and passes bytes on."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

CHUNK = 65536


class TlsFront:
    """Listens on a port of its own for clients whose certificate the authority signed. A context manager."""

    def __init__(self, port: int, certificates: Mapping[str, Path]) -> None:
        """`certificates` as `make_certificates` returns them."""
        self._to = port
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates["ca"]))
        self._context.load_cert_chain(certificates["certificate"], certificates["key"])
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda *_: None)  # a client without a certificate is refused, and that is all
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-front", daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> TlsFront:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listening(), self._loop).result(10)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _listening(self) -> asyncio.Server:
        return await asyncio.start_server(self._taken, "127.0.0.1", 0, ssl=self._context)

    async def _ended(self) -> None:
        if self._server is not None:
            self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _taken(self, near: asyncio.StreamReader, to_near: asyncio.StreamWriter) -> None:
        far, to_far = await asyncio.open_connection("127.0.0.1", self._to)
        try:
            await asyncio.wait(
                [asyncio.create_task(_pass_on(near, to_far)), asyncio.create_task(_pass_on(far, to_near))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            to_near.transport.abort()
            to_far.transport.abort()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
