"""The demo's own check, over hand-made records."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.record import Evidence, Modality, Record, Verdict
from tests.records import START, record, verdict
from workers.demo.check import deep_shortfalls, shortfalls
from workers.demo.programme import Planted, PlantedRisk

PLANTED = Planted(
    duration_s=100,
    risks=(
        PlantedRisk(from_s=20, to_s=40, settles_s=20, policy="scam", modalities=("chat", "screen"), near=("gambling",)),
    ),
)


def scam(*modalities: Modality) -> Verdict:
    seen = [Evidence(modality=name, at_s=1, probability=0.9, label="text.risk/scam") for name in modalities]
    return verdict("scam", "high", evidence=seen)


def stream(**at: Verdict) -> list[Record]:
    """Ten segments; `s3=…` gives segment 3 a verdict. Both planted segments are found unless said otherwise."""
    given = {"s2": scam("chat"), "s3": scam("chat", "screen"), **at}
    return [record(index, given.get(f"s{index}", verdict("scam"))) for index in range(10)]


def test_all_is_well_when_the_planted_is_flagged_and_the_rest_is_not() -> None:
    assert shortfalls(stream(), PLANTED, START) == ()


def test_a_planted_risk_that_nobody_flags_is_named_with_its_minutes() -> None:
    missed = stream(s2=verdict("scam"), s3=verdict("scam", "low"))
    assert shortfalls(missed, PLANTED, START) == (
        "00:20-00:40: scam was planted and is flagged in 0 of 2 segments only",
    )


def test_half_of_a_planted_stretch_is_enough() -> None:
    assert shortfalls(stream(s2=verdict("scam")), PLANTED, START) == ()


def test_a_modality_that_should_have_shown_it_is_named() -> None:
    assert shortfalls(stream(s3=scam("chat")), PLANTED, START) == (
        "00:20-00:40: scam was planted in screen too, where nothing was seen of it",
    )


@pytest.mark.parametrize("segment", ["s0", "s7"])
def test_the_planted_policy_above_watch_far_from_its_stretch_is_a_false_alarm(segment: str) -> None:
    assert len(shortfalls(stream(**{segment: verdict("scam", "medium")}), PLANTED, START)) == 1


def test_watching_a_benign_segment_is_no_false_alarm() -> None:
    assert shortfalls(stream(s8=verdict("violence", "low")), PLANTED, START) == ()


def test_a_verdict_may_outlast_its_stretch_while_it_settles() -> None:
    assert shortfalls(stream(s5=verdict("scam", "medium")), PLANTED, START) == ()


def test_another_policy_above_watch_is_a_false_alarm_even_within_a_planted_stretch() -> None:
    records = stream()
    records[2] = record(2, scam("chat"), verdict("drugs", "medium"))
    assert shortfalls(records, PLANTED, START) == ("00:20-00:30: drugs is at review, but was not planted",)


def test_a_near_policy_may_be_raised_in_the_planted_stretch_and_nowhere_else() -> None:
    records = stream(s8=verdict("gambling", "medium"))
    records[2] = record(2, scam("chat"), verdict("gambling", "medium"))
    assert shortfalls(records, PLANTED, START) == ("01:20-01:30: gambling is at review, but was not planted",)


def test_a_segment_without_a_record_is_named() -> None:
    records = stream()
    assert shortfalls([*records[:5], *records[6:9]], PLANTED, START) == (
        "00:50-01:00: there is no record",
        "01:30-01:40: there is no record",
    )


def test_times_are_counted_from_the_start_of_the_stream() -> None:
    late = shortfalls(stream(), PLANTED, START - timedelta(seconds=10))
    assert late[0] == "00:00-00:10: there is no record"


def test_what_is_planted_for_deep_reviews_is_looked_for_in_theirs_alone() -> None:
    faint = PlantedRisk(from_s=60, to_s=70, settles_s=20, policy="scam", modalities=("screen",), deep=True)
    planted = PLANTED.model_copy(update={"risks": (*PLANTED.risks, faint)})

    assert shortfalls(stream(), planted, START) == ()
    assert deep_shortfalls([record(6, scam("screen"))], planted, START) == ()
    assert deep_shortfalls([record(6)], planted, START) == (
        "by deep reviews, 01:00-01:10: scam was planted and is flagged in 0 of 1 segments only",
    )
