"""What goes between a worker's child and its decode helper: a header of fixed size, then so many bytes.

Request: what is wanted, one number (the longest side in pixels, or the most samples), the medium's length. Answer:
the outcome, height and width (or samples and 0), the payload's length. The asking side believes no number in an answer
that it has not checked against what it asked.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum

REQUEST = struct.Struct("<4sBxxxIQ")
ANSWER = struct.Struct("<4sBxxxIIQ")
MAGIC = b"LRD1"
MAX_WORDS_BYTES = 200
"""Of what a refusal may say."""
BUFFER_BYTES = 1 << 20
"""Of the socket: a shrunk frame goes through in one piece. The kernel may grant less."""


class Wanted(IntEnum):
    PICTURE = 1
    SOUND = 2


class Outcome(IntEnum):
    READY = 1
    PICTURE = 2
    SOUND = 3
    REFUSED = 4
    MEMORY = 5


class Broken(Exception):
    """The other side said what cannot be."""


def fill(channel: socket.socket, buffer: memoryview) -> None:
    """Fills the buffer; `EOFError` when the other side is gone before, `TimeoutError` as the socket is set."""
    filled = 0
    while filled < len(buffer):
        if not (received := channel.recv_into(buffer[filled:])):
            raise EOFError
        filled += received


def widen(channel: socket.socket) -> None:
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        channel.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
