"""What the chaos proof draws and how it judges; whether a pool stands it is for `make prove-chaos`."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import islice, pairwise

import pytest

from tests.benchmarks.chaos_after import Found, wrong
from tests.benchmarks.chaos_faults import KINDS, LASTS_S, drawn, part_of
from tests.benchmarks.chaos_segments import RARE, ROUND, Sent, kinds
from tests.records import record
from workers.quarantine import Entry, Reason

MOST_STARTS = 4


def test_the_same_seed_draws_the_same_faults_and_another_others() -> None:
    assert drawn(7, KINDS, every_s=8, length_s=600) == drawn(7, KINDS, every_s=8, length_s=600)
    assert drawn(7, KINDS, every_s=8, length_s=600) != drawn(8, KINDS, every_s=8, length_s=600)


def test_a_round_has_every_kind_of_fault_once() -> None:
    faults = drawn(7, KINDS, every_s=1, rounds=1)
    assert Counter(fault.kind for fault in faults) == dict.fromkeys(KINDS, 1)


def test_faults_end_with_the_run_and_no_two_are_in_one_part_at_a_time() -> None:
    faults = drawn(7, tuple(LASTS_S), every_s=2, length_s=600)
    assert all(fault.at_s >= 0 and fault.at_s + fault.lasts_s <= 600 for fault in faults)
    for part in {part_of(fault.kind) for fault in faults}:
        own = [fault for fault in faults if part_of(fault.kind) == part]
        assert all(one.at_s + one.lasts_s <= other.at_s for one, other in pairwise(own))


def test_a_round_of_segments_has_every_kind_and_the_rare_ones_come_later() -> None:
    whole = sum(ROUND.values())
    assert Counter(kinds(7, 1)) == dict(ROUND)
    assert Counter(islice(kinds(7), 20 * whole)).keys() == {*ROUND, *RARE}


def sent(kind: str = "chat") -> Sent:
    innocent = kind in ("chat", "gone")
    return Sent("s/1/live", kind, {}, None, "records/1" if innocent else None, "quarantine/s/1/live.json")


def entry(reason: Reason, attempts: int = MOST_STARTS) -> Entry:
    now = datetime.now(UTC)
    return Entry(reason=reason, detail="why", attempts=attempts, at=now, lane="live", version="0", message="{}")


@pytest.mark.parametrize(
    ("kind", "found", "said"),
    [
        ("chat", Found(), ["s/1/live (chat) is lost"]),
        ("chat", Found(records={"s/1/live": record()}), []),
        (
            "chat",
            Found(records={"s/1/live": record()}, entries={"s/1/live": entry("crashed")}),
            ["s/1/live (chat) has a record and is in quarantine: crashed"],
        ),
        (
            "chat",
            Found(entries={"s/1/live": entry("crashed")}),
            ["s/1/live (chat) harms nobody and is in quarantine: crashed, why"],
        ),
        ("die", Found(entries={"s/1/live": entry("crashed")}), []),
        ("die", Found(entries={"s/1/live": entry("crashed", 3)}), ["s/1/live (die) was given up after 3 starts"]),
        (
            "die",
            Found(entries={"s/1/live": entry("delivery_limit")}),
            ["s/1/live (die) is in quarantine for another reason: delivery_limit, why"],
        ),
        ("die", Found(records={"s/1/live": record()}), ["s/1/live (die) has a record"]),
        ("manifest", Found(entries={"s/1/live": entry("manifest", 1)}), []),
    ],
)
def test_every_segment_must_have_one_record_or_one_entry_with_the_right_reason(
    kind: str, found: Found, said: list[str]
) -> None:
    assert list(wrong(found, {"s/1/live": sent(kind)}, MOST_STARTS)) == said


def test_what_nobody_sent_and_what_was_there_but_not_examined_is_said() -> None:
    found = Found(strangers=["records/2"], unexamined=Counter({"frames missing_object": 2}))
    assert list(wrong(found, {}, MOST_STARTS)) == [
        "nobody sent, or nobody can read: records/2",
        "2 records say of what could be examined: frames missing_object",
    ]
