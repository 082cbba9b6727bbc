"""Bulk work gives way to live work on a busy processor.

Niceness compares processes of one scheduling group only, and kernels that group by session (`autogroup`) make
a group of every session: there the session's own niceness is lowered too.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

NICE = 10
"""About a tenth of the processor's time beside one process of live work; all of it when there is none."""
_SESSION = Path("/proc/self/autogroup")
_TRIES = 20
_PAUSE_S = 0.11
"""The kernel takes such a wish from an ordinary user once in a tenth of a second, from all users together."""


def give_way() -> None:
    """For this process and all that it starts."""
    os.nice(NICE)
    let_session_give_way()


def let_session_give_way() -> None:
    """For the session that this process leads, without itself passing niceness on to other sessions.

    A session that it does not lead may be somebody's terminal, and is left alone.
    """
    if os.getsid(0) != os.getpid():
        return
    for _ in range(_TRIES):
        try:
            _SESSION.write_text(str(NICE))
        except BlockingIOError:
            time.sleep(_PAUSE_S)
        except OSError:
            return  # no such grouping here
        else:
            return


def session_niceness() -> int | None:
    """Of the session's group; null where sessions are no groups."""
    with suppress(OSError, ValueError):
        return int(_SESSION.read_text().rpartition(" ")[2])
    return None
