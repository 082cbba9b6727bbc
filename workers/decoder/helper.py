"""The decode helper: imports what decoding needs, gives up the rest, and answers one request after another.

`python -m workers.decoder.helper DESCRIPTOR LIMITS`: a connected socket, and `DecodeLimits` as JSON. It ends when the
other side does. It imports no model library and knows no settings, no store and no broker.
"""

from __future__ import annotations

import io
import os
import socket
import sys
import wave

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, MpoImagePlugin, TiffImagePlugin

from pipelines import decode
from pipelines.items import SAMPLE_RATE_HZ
from pipelines.media import DecodeError, DecodeLimits
from workers.decoder.confinement import confine, renew_processor_time
from workers.decoder.wire import ANSWER, MAGIC, MAX_WORDS_BYTES, REQUEST, Outcome, Wanted, fill, widen

LOADED = (MpoImagePlugin, TiffImagePlugin)
"""Pillow imports these when a JPEG asks for them, which is too late here."""


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    limits = DecodeLimits.model_validate_json(sys.argv[2])
    widen(channel)
    _warm_up()
    os.dup2(0, 2)  # what libraries print could quote the medium
    given_up = confine(limits.memory_mb)
    _answer(channel, Outcome.READY, ",".join(given_up).encode())
    header = bytearray(REQUEST.size)
    while True:
        try:
            fill(channel, memoryview(header))
        except EOFError:
            return
        magic, wanted, most, length = REQUEST.unpack(header)
        if magic != MAGIC or length > max(limits.max_image_bytes, limits.max_audio_bytes):
            return
        renew_processor_time(limits.timeout_s)
        _serve(channel, Wanted(wanted), most, length, limits)


def _serve(channel: socket.socket, wanted: Wanted, most: int, length: int, limits: DecodeLimits) -> None:
    """One medium. What is not caught here ends the helper, which the other side takes for a crash."""
    try:
        medium = bytearray(length)
        fill(channel, memoryview(medium))
        if wanted is Wanted.PICTURE:
            pixels = decode.decode_image(bytes(medium), max_side_px=most, limits=limits).pixels
            _answer(channel, Outcome.PICTURE, pixels, *pixels.shape[:2])
        else:
            samples = decode.decode_samples(bytes(medium), max_s=most / SAMPLE_RATE_HZ, limits=limits)
            _answer(channel, Outcome.SOUND, samples, samples.size)
    except DecodeError as error:
        _answer(channel, Outcome.REFUSED, str(error).encode("ascii", "replace")[:MAX_WORDS_BYTES])
    except MemoryError:
        _answer(channel, Outcome.MEMORY, b"")


def _answer(
    channel: socket.socket,
    outcome: Outcome,
    payload: bytes | NDArray[np.uint8] | NDArray[np.int16],
    first: int = 0,
    second: int = 0,
) -> None:
    content = np.ascontiguousarray(payload).data.cast("B") if isinstance(payload, np.ndarray) else payload
    channel.sendall(ANSWER.pack(MAGIC, outcome, first, second, len(content)))
    channel.sendall(content)


def _warm_up() -> None:
    """Every library has opened and started what it opens and starts lazily."""
    cv2.setNumThreads(1)
    for name in decode.IMAGE_FORMATS:
        buffer = io.BytesIO()
        Image.new("RGB", (64, 64)).save(buffer, name)
        decode.decode_image(buffer.getvalue(), max_side_px=16)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setparams((2, 2, 48_000, 0, "NONE", ""))
        sound.writeframes(bytes(4 * 4_800))
    decode.decode_samples(buffer.getvalue(), max_s=1)


if __name__ == "__main__":
    main()
