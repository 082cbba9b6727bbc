"""The filter of system calls, stepped through as the kernel would."""

from __future__ import annotations

import errno
import struct

import pytest

from workers.decoder.calls import MACHINES, REFUSED, filter_of

LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
ALLOWED, REFUSED_WITH = 0x7FFF0000, 0x00050000 | errno.EPERM
READ_AND_WRITE = {"x86_64": (0, 1), "aarch64": (63, 64)}


def decided(program: bytes, architecture: int, number: int) -> int:
    steps, data = list(struct.iter_unpack("=HBBI", program)), struct.pack("=iI", number, architecture)
    at, accumulator = 0, 0
    while True:
        code, if_so, if_not, constant = steps[at]
        at += 1
        match code:
            case _ if code == LOAD:
                (accumulator,) = struct.unpack_from("=I", data, constant)
            case _ if code == RETURN:
                return int(constant)
            case _:
                holds = accumulator == constant if code == EQUAL else accumulator >= constant
                at += if_so if holds else if_not


@pytest.mark.parametrize(("column", "machine"), [*enumerate(MACHINES)], ids=[*MACHINES])
def test_each_named_call_is_refused_and_reading_and_writing_are_not(column: int, machine: str) -> None:
    numbers = [both[column] for both in REFUSED.values()]
    program = filter_of(MACHINES[machine], numbers)
    assert {decided(program, MACHINES[machine], number) for number in numbers} == {REFUSED_WITH}
    assert {decided(program, MACHINES[machine], number) for number in READ_AND_WRITE[machine]} == {ALLOWED}


def test_calls_by_another_interface_of_the_kernel_are_refused() -> None:
    program = filter_of(MACHINES["x86_64"], [62])
    assert decided(program, 0x40000003, 0) == REFUSED_WITH
    assert decided(program, MACHINES["x86_64"], 0x40000000) == REFUSED_WITH
