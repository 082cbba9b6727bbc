"""The helper process as the asking side sees it: started with nothing it could give away, asked, and ended.

Every number it says is checked against what it was asked: what it decodes may have taken it over.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from pipelines import coverage as why
from pipelines.media import DecodeError, DecodeLimits
from workers.decoder.wire import ANSWER, MAGIC, MAX_WORDS_BYTES, REQUEST, Broken, Outcome, Wanted, widen

logger = logging.getLogger(__name__)

PROGRAM = (sys.executable, "-B", "-m", "workers.decoder.helper")
START_S = 60.0
LAST_BREATH_S = 2.0
KEPT_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""All of the environment that a helper sees: passwords and addresses are no business of a decoder."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
KEPT_BYTES = str(16 << 20)
KEEPS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": KEPT_BYTES, "MALLOC_MMAP_THRESHOLD_": KEPT_BYTES}
"""Freed memory is kept for the next frame: giving it back and faulting it in again costs as much as decoding."""


class Ended(Exception):
    """A medium is to end its helper, or has; `reason` is out of `pipelines.coverage`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Helper:
    """One helper process that is ready, and has `served` so many media.

    `OSError`, `EOFError` or `Broken` when it is not to be had.
    """

    def __init__(self, limits: DecodeLimits, program: Sequence[str]) -> None:
        began = time.monotonic()
        self.served = 0
        self._channel, theirs = socket.socketpair()
        with theirs:
            widen(self._channel)
            try:
                self.process = subprocess.Popen(
                    [*program, str(theirs.fileno()), limits.model_dump_json()],
                    env={name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
                    | ONE_THREAD
                    | KEEPS_MEMORY,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    process_group=0,
                )
            except OSError:
                self._channel.close()
                raise
        try:
            outcome, _, _, length = self._header(time.monotonic() + START_S)
            given_up = self._words(length, time.monotonic() + START_S)
            if outcome is not Outcome.READY:
                raise Broken
        except (OSError, EOFError, Broken):
            self.end(at_once=True)
            raise
        started_s = time.monotonic() - began
        logger.info("decode helper started pid=%d without=%s in_s=%.1f", self.process.pid, given_up, started_s)

    def picture(self, data: bytes, max_side_px: int, deadline: float) -> NDArray[np.uint8]:
        """uint8 height x width x 3. Raises `DecodeError`, `Broken`, `TimeoutError`, or what a gone helper leads to."""
        self._send(Wanted.PICTURE, data, max_side_px, deadline)
        height, width, length = self._expect(Outcome.PICTURE, deadline)
        if not (0 < height <= max_side_px and 0 < width <= max_side_px and length == 3 * height * width):
            raise Broken
        pixels = np.empty((height, width, 3), np.uint8)
        self._fill(pixels.data.cast("B"), deadline)
        return pixels

    def sound(self, data: bytes, most: int, deadline: float) -> NDArray[np.int16]:
        """Int16 samples, `most` of them. Raises as `picture` does."""
        self._send(Wanted.SOUND, data, most, deadline)
        count, _, length = self._expect(Outcome.SOUND, deadline)
        if not (0 < count <= most and length == 2 * count):
            raise Broken
        samples = np.empty(count, np.int16)
        self._fill(samples.data.cast("B"), deadline)
        return samples

    def end(self, *, at_once: bool = False) -> int:
        """Its exit code; it is given a moment to end by itself unless it is to end at once."""
        self._channel.close()
        if not at_once:
            with suppress(subprocess.TimeoutExpired):
                return self.process.wait(LAST_BREATH_S)
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait()

    def _send(self, wanted: Wanted, data: bytes, most: int, deadline: float) -> None:
        for piece in (REQUEST.pack(MAGIC, wanted, most, len(data)), data):
            self._until(deadline)
            self._channel.sendall(piece)

    def _expect(self, outcome: Outcome, deadline: float) -> tuple[int, int, int]:
        came, first, second, length = self._header(deadline)
        if came is Outcome.MEMORY:
            raise Ended(why.DECODE_MEMORY, "out of memory")
        if came is Outcome.REFUSED:
            raise DecodeError(self._words(length, deadline))
        if came is not outcome:
            raise Broken
        return first, second, length

    def _header(self, deadline: float) -> tuple[Outcome, int, int, int]:
        header = bytearray(ANSWER.size)
        self._fill(memoryview(header), deadline)
        magic, outcome, first, second, length = ANSWER.unpack(header)
        if magic != MAGIC or outcome not in set(Outcome):
            raise Broken
        return Outcome(outcome), first, second, length

    def _words(self, length: int, deadline: float) -> str:
        """Words as they may stand in a record and a log: one line, ASCII."""
        if length > MAX_WORDS_BYTES:
            raise Broken
        words = bytearray(length)
        self._fill(memoryview(words), deadline)
        return "".join(chr(byte) if 32 <= byte < 127 else "?" for byte in words)

    def _fill(self, buffer: memoryview, deadline: float) -> None:
        filled = 0
        while filled < len(buffer):
            self._until(deadline)
            if not (received := self._channel.recv_into(buffer[filled:])):
                raise EOFError
            filled += received

    def _until(self, deadline: float) -> None:
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._channel.settimeout(left_s)
