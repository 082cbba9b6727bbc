"""Small recordings made on the spot with ffmpeg's own test pattern and tone, and a server that plays them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import imageio_ffmpeg

PATTERN = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=10")
TONE = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100")
VIDEO = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "10")
AUDIO = ("-c:a", "aac")


def ffmpeg(*arguments: str | Path) -> None:
    """Runs ffmpeg; its own words when it fails."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def recording(path: Path, *, seconds: float, more: tuple[str, ...] = ()) -> Path:
    """Pattern and tone; the container follows the suffix."""
    ffmpeg(*PATTERN, *TONE, "-t", f"{seconds}", *VIDEO, *AUDIO, *more, path)
    return path


Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def served(answer: Answer, host: str = "127.0.0.1") -> Iterator[str]:
    """An HTTP server on a free port of a loopback address that answers every GET with `answer`; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Tests say nothing."""

    server = ThreadingHTTPServer((host, 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, *, length: int | None = None) -> None:
    """A whole answer; `length` other than the body's is a promise that is not kept."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def stream(handler: BaseHTTPRequestHandler, body: bytes, *, seconds: float) -> None:
    """An answer without a length, spread over this time, as a live stream is."""
    handler.send_response(200)
    handler.send_header("Content-Type", "video/mp2t")
    handler.end_headers()
    pieces = 20
    step = len(body) // pieces + 1
    pause = threading.Event()
    for start in range(0, len(body), step):
        handler.wfile.write(body[start : start + step])
        handler.wfile.flush()
        pause.wait(seconds / pieces)
