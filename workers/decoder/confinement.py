"""What a decode helper gives up once it has imported all it needs, as far as the kernel lets it, and it says how far.

Linux only. No new descriptor, so that no file and no socket is ever opened again; no threads, children or core file; a
bounded address space; an empty directory for a root; no network; another user where it began as root.
"""

from __future__ import annotations

import ctypes
import math
import os
import resource
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from workers.decoder.calls import refuse_calls
from workers.parenthood import end_with_parent

NOBODY = 65534
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def confine(memory_mb: int) -> tuple[str, ...]:
    """Limits this process, gives up what else it can, and names that: `network`, `root`, `user`, `capabilities`,
    `calls`.

    `OSError` or `ValueError` when it cannot be limited: then it must not decode.
    """
    _die_first()
    most_bytes = _address_space() + (memory_mb << 20)  # asked while /proc is still there
    steps: dict[str, Callable[[], None]] = {
        "network": _without_network,
        "root": _in_an_empty_root,
        "user": _as_nobody,
        "capabilities": _without_capabilities,
        "calls": refuse_calls,
    }
    kept = []
    for name, step in steps.items():
        with suppress(OSError, ValueError):
            step()
            kept.append(name)
    end_with_parent(signal.SIGKILL)  # only now: a process that changes its user or namespace is asked again
    _within(most_bytes)
    return tuple(kept)


def renew_processor_time(seconds: float) -> None:
    """So much from now on; the kernel then ends this process with SIGXCPU."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (_at_most(until, hard), hard))


def _at_most(limit: int, hard: int) -> int:
    return limit if hard == resource.RLIM_INFINITY else min(limit, hard)


def _die_first() -> None:
    """When the machine runs out of memory, the kernel should take the helper and not the worker."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), "refused")


def _without_network() -> None:
    """A network namespace of its own, without as much as a loopback. Who is not root needs a user namespace for it."""
    flags = _CLONE_NEWNET | _CLONE_NEWIPC
    _checked(_libc.unshare(flags if os.geteuid() == 0 else flags | _CLONE_NEWUSER))


def _in_an_empty_root() -> None:
    """The directory is removed before it becomes the root: nothing can be made in it."""
    directory = tempfile.mkdtemp(prefix="liverisk-decode-")
    os.chdir(directory)
    Path(directory).rmdir()
    os.chroot(".")


def _as_nobody() -> None:
    if os.geteuid() != 0:
        return
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def _without_capabilities() -> None:
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _checked(_libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)())))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


def _within(most_bytes: int) -> None:
    """Descriptors come last: what is open stays open, and nothing is opened after it."""
    for what, limit in (
        (resource.RLIMIT_AS, most_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        least = _at_most(limit, resource.getrlimit(what)[1])
        resource.setrlimit(what, (least, least))
