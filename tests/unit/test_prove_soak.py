"""What the soak takes for growth."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.benchmarks.prove_soak import keys, report
from tests.benchmarks.soak_watch import Sample, course, kind_of

STREAMS = {"streams.120": 5.0, "streams.300": 10.0}


def samples(**ends: tuple[float, float]) -> list[Sample]:
    """An hour of looks, each value going evenly from its first to its last; `__` stands for a dot."""
    return [
        Sample(
            60 * minute, STREAMS | {name.replace("__", "."): a + (b - a) * minute / 60 for name, (a, b) in ends.items()}
        )
        for minute in range(61)
    ]


def test_growth_is_told_between_thirds_and_by_the_hour() -> None:
    seen = course(samples(child__memory_mb=(100, 160)), "child.memory_mb")
    assert seen is not None
    assert (seen.first, seen.last) == pytest.approx((109.5, 150.5))
    assert seen.per_hour == pytest.approx(60)


@pytest.mark.parametrize(
    ("ends", "grew"),
    [
        ({"child__memory_mb": (100, 103)}, False),
        ({"child__memory_mb": (100, 115)}, True),
        ({"helper__memory_mb": (20, 22)}, False),  # a tenth, and two megabytes
        ({"worker__handles": (30, 32)}, False),
        ({"worker__threads": (5, 9)}, True),
        ({"seaweedfs__memory_mb": (100, 300)}, False),
        ({"engine__started": (1, 3)}, True),
    ],
)
def test_each_value_has_its_bar(ends: Mapping[str, tuple[float, float]], grew: bool) -> None:
    assert bool(list(report(samples(**ends)))) is grew


@pytest.mark.parametrize(
    ("ends", "grew"),
    [
        ({"files": (8, 8)}, False),
        ({"files": (8, 10)}, True),
        ({"keys__liverisk:history": (4, 5)}, False),
        ({"keys__liverisk:history": (4, 7)}, True),
        ({"keys__liverisk:lexicon": (2, 8)}, True),
        ({"entries__liverisk:stats": (0, 1000)}, False),
    ],
)
def test_keys_may_be_as_many_as_the_streams_that_are_remembered(
    ends: Mapping[str, tuple[float, float]], grew: bool
) -> None:
    assert bool(list(keys(samples(**ends), set()))) is grew


def test_keys_that_never_expire_are_named() -> None:
    assert list(keys(samples(), {"unacked", "liverisk:attempts"})) == ["liverisk:attempts: keys that never expire"]


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("liverisk:history:live:room", "liverisk:history"),
        ("c4eb69fc-8413-38c9-8ff9-e3adadced6fc.reply.celery.pidbox", "*.reply.celery.pidbox"),
        ("unacked", "unacked"),
    ],
)
def test_keys_are_told_apart_by_kind(key: str, kind: str) -> None:
    assert kind_of(key) == kind
