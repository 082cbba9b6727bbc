"""A sample that is spread over a stream of unknown length."""

from __future__ import annotations

from itertools import pairwise

import pytest

from workers.runs.dry_run import Spread
from workers.runs.run import Item


def drawn(size: int, length: int) -> list[int]:
    spread = Spread(size)
    for index in range(length):
        spread.add(Item(source=str(index)))
    return [int(item.source) for item in spread.drawn()]


@pytest.mark.parametrize("length", [0, 1, 7, 20, 21, 39, 40, 41, 1000, 12345])
def test_a_sample_is_as_large_as_it_can_be_and_in_order(length: int) -> None:
    found = drawn(20, length)
    assert len(found) == min(20, length)
    assert found == sorted(set(found))


@pytest.mark.parametrize("length", [100, 997, 5000])
def test_a_sample_leaves_no_long_stretch_out(length: int) -> None:
    found = [0, *drawn(20, length), length]
    assert max(after - before for before, after in pairwise(found)) <= length / 4


def test_a_sample_meets_no_rhythm() -> None:
    assert 20 < sum(index % 2 for index in drawn(64, 4096)) < 44


def test_no_sample_is_none() -> None:
    assert drawn(0, 100) == []
