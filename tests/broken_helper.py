"""`python -m tests.broken_helper`: a decode helper that does to some bytes what a broken library could do to any.

`hang`, `sleep`, `crash`, `leave`, `starve` and `lie` are what they say; `open` tells what it could open and start, and
`environment` what it knows of it.
"""

from __future__ import annotations

import ctypes
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pipelines import decode
from pipelines.items import Picture
from pipelines.media import DecodeError, DecodeLimits
from workers.decoder import helper
from workers.decoder.wire import ANSWER, MAGIC, Outcome

PROGRAM = (sys.executable, "-m", "tests.broken_helper")

real = decode.decode_image


def tried(*attempts: Callable[[], object]) -> str:
    """For each attempt the class of the error that it met, or `done`."""
    said = []
    for attempt in attempts:
        try:
            attempt()
            said.append("done")
        except OSError as error:
            said.append(type(error).__name__)
    return " ".join(said)


def _open() -> int:
    return os.open("/etc/passwd", os.O_RDONLY)


def _execute() -> None:
    os.execv("/a", ["a"])


def strange(data: bytes, *, max_side_px: int, limits: DecodeLimits = decode.DEFAULTS) -> Picture:
    match data:
        case b"hang":
            while True:
                pass
        case b"sleep":
            time.sleep(3600)
        case b"crash":
            ctypes.string_at(1)
        case b"leave":
            os._exit(7)
        case b"starve":
            bytearray(8 << 30)
        case b"lie":
            told = ANSWER.pack(MAGIC, Outcome.PICTURE, 40_000, 40_000, 12)
            os.write(int(sys.argv[1]), told + bytes(12))
        case b"open":
            raise DecodeError(tried(_open, socket.socket, os.fork, Path("/a").mkdir, _execute))
        case b"environment":
            raise DecodeError(",".join(sorted(os.environ)))
    return real(data, max_side_px=max_side_px, limits=limits)


if __name__ == "__main__":
    decode.decode_image = strange
    helper.main()
