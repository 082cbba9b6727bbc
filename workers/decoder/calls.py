"""System calls that no decoder needs, refused by a filter in the kernel (seccomp, Linux on x86-64 and ARM64).

A list of what is refused, not of what is allowed: an allow-list changes with every library and kernel. It closes what
needs no descriptor and so is not closed by the limit on those: signals, tracing and reading other processes, programs.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_OTHER_ABI = 0x40000000

REFUSED = (
    "kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo ptrace process_vm_readv process_vm_writev execve execveat "
    "socket connect bind unshare setns mount bpf keyctl add_key request_key perf_event_open userfaultfd io_uring_setup "
    "shmget shmat msgget semget"
).split()
NUMBERS: dict[str, tuple[int, tuple[int, ...]]] = {
    "x86_64": (
        0xC000003E,
        (62, 200, 234, 129, 297, 101, 310, 311, 59, 322, 41, 42, 49, 272, 308, 165, 321, 250, 248, 249, 298, 323, 425)
        + (29, 30, 68, 64),
    ),
    "aarch64": (
        0xC00000B7,
        (129, 130, 131, 138, 240, 117, 270, 271, 221, 281, 198, 203, 200, 97, 268, 40, 280, 219, 217, 218, 241, 282)
        + (425, 194, 196, 186, 190),
    ),
}
"""Machine -> its architecture as the kernel calls it, and its numbers in the order of `REFUSED`."""


def refuse_calls() -> None:
    """For this process and for good. Needs `no_new_privs`; `OSError` where kernel or machine have no such filter."""
    if platform.machine() not in NUMBERS:
        raise OSError(errno.ENOSYS, "unknown machine")
    program = filter_of(*NUMBERS[platform.machine()])
    steps = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.c_char_p(header), 0, 0):
        raise OSError(ctypes.get_errno(), "refused")


def filter_of(architecture: int, numbers: tuple[int, ...]) -> bytes:
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
