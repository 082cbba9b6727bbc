"""Decoding in a helper process: one for each worker child, started once, killed when it hangs, replaced when it dies.

Prefork children are daemons and may not use multiprocessing; a `Popen` they may. A medium that ends its helper, twice
where the first helper had decoded others before, is a permanent finding with a name; this process goes on.
"""

from __future__ import annotations

import logging
import signal
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines import coverage as why
from pipelines.items import SAMPLE_RATE_HZ, Picture
from pipelines.media import Allowance, DecodeError, DecodeLimits
from workers.decoder.process import PROGRAM, Ended, Helper
from workers.decoder.wire import Broken

logger = logging.getLogger(__name__)

T = TypeVar("T")

TIMES_UP = (signal.SIGXCPU,)
OUT_OF_MEMORY = (signal.SIGKILL,)
"""Nobody else kills a helper but the kernel, and the kernel does so when memory runs out."""


class DecoderUnavailable(Exception):
    """No helper can be started here: not the medium's fault, and worth a retry."""


class Contained:
    """A `Decoder` whose work is done elsewhere. One medium at a time; may be asked from several threads.

    The helper is started at the first medium. It ends with this object, and with this process however that ends.
    """

    def __init__(self, limits: DecodeLimits, program: Sequence[str] = PROGRAM) -> None:
        self.limits = limits
        self._keeper = _Keeper(limits, program)
        # The kernel ends a helper with the thread that started it: this one lives as long as the decoder does.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._end = weakref.finalize(self, _end, self._thread, self._keeper)

    def image(self, data: bytes, *, max_side_px: int, allowance: Allowance | None = None) -> Picture:
        """As `Decoder.image`; also raises `DecoderUnavailable`."""

        def ask(helper: Helper, deadline: float) -> Picture:
            return Picture(helper.picture(data, max_side_px, deadline))

        _check_size("image", data, self.limits.max_image_bytes)
        return self._thread.submit(self._keeper.ask, f"image of {len(data)} bytes", ask, allowance).result()

    def audio(self, data: bytes, *, max_s: float, allowance: Allowance | None = None) -> NDArray[np.float32]:
        """As `Decoder.audio`; also raises `DecoderUnavailable`."""
        most = round(min(max_s, self.limits.max_audio_s) * SAMPLE_RATE_HZ)

        def ask(helper: Helper, deadline: float) -> NDArray[np.int16]:
            return helper.sound(data, most, deadline)

        _check_size("audio", data, self.limits.max_audio_bytes)
        samples = self._thread.submit(self._keeper.ask, f"audio of {len(data)} bytes", ask, allowance).result()
        return samples.astype(np.float32) / 32768.0

    def started(self) -> Self:
        """The same with its helper running, so that the first medium need not wait. Raises `DecoderUnavailable`."""
        self._thread.submit(self._keeper.ready).result()
        return self

    @property
    def pid(self) -> int | None:
        """Of the helper that runs now."""
        helper = self._keeper.helper
        return helper.process.pid if helper else None

    def close(self) -> None:
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _end(thread: ThreadPoolExecutor, keeper: _Keeper) -> None:
    thread.shutdown(wait=False, cancel_futures=True)
    keeper.drop()


def _check_size(what: str, data: bytes, most: int) -> None:
    if len(data) > most:
        raise DecodeError(f"{what} of {len(data)} bytes, more than {most}")


class _Keeper:
    """Keeps a helper, and tells whether it or the medium is to blame when it ends. Used by one thread."""

    def __init__(self, limits: DecodeLimits, program: Sequence[str]) -> None:
        self._limits = limits
        self._program = program
        self.helper: Helper | None = None

    def ask(self, what: str, question: Callable[[Helper, float], T], allowance: Allowance | None) -> T:
        """The answer about one medium; `what` names it in errors."""
        helper = self.ready()
        began = time.monotonic()
        seconds = min(self._limits.timeout_s, allowance.left_s if allowance else self._limits.timeout_s)
        if seconds <= 0:
            raise DecodeError(f"{what}: others took all the time of the segment", why.DECODE_TIMEOUT)
        try:
            return self._asked(helper, question, seconds)
        except Ended as ended:
            logger.warning("decode helper ended reason=%s detail=%s medium=%s", ended.reason, ended.detail, what)
            raise DecodeError(f"{what}: {ended.detail}", ended.reason) from None
        finally:
            if allowance:
                allowance.left_s -= time.monotonic() - began

    def _asked(self, helper: Helper, question: Callable[[Helper, float], T], seconds: float) -> T:
        """A helper that has served others may suffer from what they left behind: one more try, in a new one."""
        proven = helper.served == 0
        try:
            return self._once(helper, question, seconds)
        except Ended as ended:
            if proven or ended.reason == why.DECODE_TIMEOUT:
                raise
        return self._once(self._start(), question, seconds)

    def _once(self, helper: Helper, question: Callable[[Helper, float], T], seconds: float) -> T:
        try:
            answer = question(helper, time.monotonic() + seconds)
        except DecodeError:
            helper.served += 1
            raise
        except Ended:
            self.drop()
            raise
        except TimeoutError:
            self.drop()
            raise Ended(why.DECODE_TIMEOUT, f"not decoded in {seconds:.1f} s") from None
        except (EOFError, OSError, Broken) as error:
            code = helper.end()
            self.drop()
            raise _cause(error, code) from None
        helper.served += 1
        return answer

    def ready(self) -> Helper:
        return self.helper or self._start()

    def _start(self) -> Helper:
        try:
            self.helper = Helper(self._limits, self._program)
        except (OSError, EOFError, Broken) as error:
            logger.error("decode helper did not start error=%s", type(error).__name__)
            raise DecoderUnavailable(type(error).__name__) from None
        return self.helper

    def drop(self) -> None:
        if self.helper is not None:
            self.helper.end(at_once=True)
            self.helper = None


def _cause(error: Exception, code: int) -> Ended:
    if isinstance(error, Broken):
        return Ended(why.DECODE_CRASH, "an answer that cannot be")
    if code >= 0:
        return Ended(why.DECODE_CRASH, f"exit code {code}")
    name = signal.Signals(-code).name
    if -code in TIMES_UP:
        return Ended(why.DECODE_TIMEOUT, name)
    return Ended(why.DECODE_MEMORY if -code in OUT_OF_MEMORY else why.DECODE_CRASH, name)
