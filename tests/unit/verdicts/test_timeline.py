from __future__ import annotations

from datetime import timedelta

import pytest

from pipelines.coverage import DEADLINE, MISSING_OBJECT, NO_INPUT, SILENCE
from pipelines.record import MODALITIES
from tests.records import (
    NO_MEDIA,
    START,
    chat_evidence,
    frame_evidence,
    record,
    unexamined,
    verdict,
)
from workers.verdicts.timeline import timeline


def test_no_records_make_no_stretches() -> None:
    assert timeline([]) == ()


def test_consecutive_flagged_segments_are_one_stretch_with_the_highest_of_each() -> None:
    records = [
        record(0, verdict("scam", "low")),
        record(1, verdict("scam", "high", probability=0.97)),
        record(2, verdict("scam", "medium")),
    ]

    (stretch,) = timeline(records)

    assert (stretch.kind, stretch.policy, stretch.segments) == ("flagged", "scam", 3)
    assert (stretch.severity, stretch.action, stretch.probability) == ("high", "act", 0.97)
    assert (stretch.start, stretch.end) == (START, START + timedelta(seconds=30))


def test_a_clean_segment_between_two_flagged_ones_splits_them() -> None:
    records = [record(0, verdict("scam", "high")), record(1), record(2, verdict("scam", "low"))]

    assert [stretch.kind for stretch in timeline(records)] == ["flagged", "nothing", "flagged"]


def test_order_of_the_records_does_not_matter() -> None:
    records = [record(0), record(1, verdict("drugs", "medium")), record(2), record(5)]

    assert timeline(records) == timeline(records[::-1])


def test_two_policies_at_once_are_two_stretches_the_severer_first() -> None:
    stretches = timeline([record(0, verdict("scam", "low"), verdict("drugs", "high"))])

    assert [stretch.policy for stretch in stretches] == ["drugs", "scam"]


def test_a_hole_between_records_is_a_missing_stretch() -> None:
    stretches = timeline([record(0), record(3)])

    assert [(stretch.kind, stretch.segments) for stretch in stretches] == [
        ("nothing", 1),
        ("missing", 0),
        ("nothing", 1),
    ]
    assert (stretches[1].start, stretches[1].end) == (START + timedelta(seconds=10), START + timedelta(seconds=30))


def test_segments_a_moment_apart_still_follow_one_another() -> None:
    late = record(1, start=START + timedelta(seconds=0.4))

    assert [stretch.kind for stretch in timeline([record(0), late])] == ["nothing"]


def test_a_segment_inside_a_longer_one_leaves_no_hole() -> None:
    long = record(0).model_copy(update={"duration_s": 60.0})

    stretches = timeline([long, record(1), record(6)])

    assert "missing" not in [stretch.kind for stretch in stretches]


def test_a_segment_that_lost_a_modality_is_partly_examined_and_not_clean() -> None:
    (stretch,) = timeline([record(0, coverage={"speech": unexamined(DEADLINE, total=10)})])

    assert (stretch.kind, stretch.lacking) == ("partly_examined", (("speech", DEADLINE),))


def test_a_flagged_segment_also_says_what_was_not_examined() -> None:
    stretches = timeline([record(0, verdict("scam", "high"), coverage={"frames": unexamined(MISSING_OBJECT)})])

    assert [stretch.kind for stretch in stretches] == ["flagged", "partly_examined"]


def test_being_watched_because_nobody_could_look_is_not_a_finding() -> None:
    coverage = {modality: unexamined(DEADLINE) for modality in MODALITIES}
    unseen = verdict("sexual", missing={"frames": DEADLINE})

    (stretch,) = timeline([record(0, unseen, coverage=coverage)])

    assert unseen.action == "watch"
    assert stretch.kind == "not_examined"


def test_different_reasons_are_different_stretches() -> None:
    first = record(0, coverage={"speech": unexamined(DEADLINE)})
    second = record(1, coverage={"speech": unexamined(MISSING_OBJECT)})

    assert [dict(stretch.lacking)["speech"] for stretch in timeline([first, second])] == [DEADLINE, MISSING_OBJECT]


def test_a_segment_without_any_media_was_not_examined() -> None:
    (stretch,) = timeline([record(0, coverage=NO_MEDIA)])

    assert stretch.kind == "not_examined"
    assert set(dict(stretch.lacking).values()) == {NO_INPUT}


@pytest.mark.parametrize("reason", [NO_INPUT, SILENCE])
def test_an_absent_or_silent_modality_leaves_a_segment_clean(reason: str) -> None:
    (stretch,) = timeline([record(0, coverage={"speech": unexamined(reason)})])

    assert stretch.kind == "nothing"


def test_a_modality_that_coverage_does_not_mention_counts_as_unexamined() -> None:
    whole = record(0)
    coverage = {key: value for key, value in whole.observations.coverage.items() if key != "screen"}
    silent = whole.model_copy(update={"observations": whole.observations.model_copy(update={"coverage": coverage})})

    (stretch,) = timeline([silent])

    assert (stretch.kind, stretch.lacking) == ("partly_examined", (("screen", "unreported"),))


def test_evidence_is_gathered_by_modality_with_different_texts_likeliest_first() -> None:
    first = verdict("scam", "high", evidence=[chat_evidence("add me", probability=0.8, users=4), frame_evidence()])
    second = verdict(
        "scam",
        "high",
        evidence=[chat_evidence("send a deposit", probability=0.99, users=2), chat_evidence("add me", probability=0.7)],
    )

    (stretch,) = timeline([record(0, first), record(1, second)])

    chat, frames = stretch.seen
    assert (chat.modality, chat.items, chat.users, chat.probability) == ("chat", 3, 4, 0.99)
    assert chat.texts == ("send a deposit", "add me")
    assert (frames.modality, frames.items, frames.label) == ("frames", 1, "vision.nudity/nsfw")


def test_records_of_two_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="one stream in one run"):
        timeline([record(0), record(1, stream_id="room-2")])
