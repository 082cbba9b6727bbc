"""System calls that no decoder needs, refused by a filter in the kernel (seccomp, Linux on x86-64 and ARM64).

A list of what is refused, not of what is allowed: an allow-list changes with every library and kernel. It closes what
needs no descriptor and so is not closed by the limit on those: signals, tracing and reading other processes, programs.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_OTHER_ABI = 0x40000000

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Architectures as the kernel calls them."""

REFUSED: dict[str, tuple[int, int]] = {
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "bpf": (321, 280),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
}
"""Call -> its number on each of the machines."""


def refuse_calls() -> None:
    """For this process and for good. Needs `no_new_privs`; `OSError` where kernel or machine have no such filter."""
    machine = platform.machine()
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, "unknown machine")
    column = list(MACHINES).index(machine)
    program = filter_of(MACHINES[machine], [numbers[column] for numbers in REFUSED.values()])
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0):
        raise OSError(ctypes.get_errno(), "refused")


def filter_of(architecture: int, numbers: Sequence[int]) -> bytes:
    """The filter's instructions: everything of another architecture, and these numbers, is refused."""
    refuse_in = len(numbers) + 1  # steps from the check of the ABI to the last one, which refuses
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, refuse_in + 2, architecture),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, refuse_in, 0, _OTHER_ABI),
        *((_EQUAL, refuse_in - 1 - index, 0, number) for index, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
