from __future__ import annotations

import pytest

from pipelines.coverage import DEADLINE, MISSING_OBJECT, NO_INPUT, UNDECODABLE
from pipelines.policies import POLICY_IDS
from pipelines.record import MODALITIES, Coverage, Modality
from tests.records import chat_evidence, frame_evidence, record, unexamined, verdict
from workers.verdicts.show import coverage_in_words, printable, seen_in_words, shown
from workers.verdicts.timeline import seen


def test_each_finding_and_each_clean_segment_has_a_line_in_time_order() -> None:
    found = shown([record(2), record(0, verdict("scam", "high"), verdict("drugs", "low")), record(1)])

    assert [(line.policy, line.kind) for line in found.lines] == [
        ("scam", "flagged"),
        ("drugs", "flagged"),
        (None, "nothing"),
        (None, "nothing"),
    ]


def test_a_flagged_segment_that_lost_a_modality_has_a_line_for_that_too() -> None:
    found = shown([record(0, verdict("scam", "high"), coverage={"frames": unexamined(DEADLINE, 5)})])

    assert [line.kind for line in found.lines] == ["flagged", "partly_examined"]
    assert found.lines[1].seen == "frames deadline"


def test_segments_watched_unseen_are_one_line_with_the_action_and_the_reason() -> None:
    blind = [verdict(policy, missing={"frames": DEADLINE}) for policy in POLICY_IDS]
    coverage = {modality: unexamined(DEADLINE) for modality in MODALITIES}

    (line,) = shown([record(0, *blind, coverage=coverage)]).lines

    assert (line.kind, line.policy, line.action) == ("not_examined", None, "watch")
    assert line.seen.startswith("frames deadline, speech deadline")


def test_a_hole_is_a_line_between_the_segments_around_it() -> None:
    assert [line.kind for line in shown([record(0), record(2)]).lines] == ["nothing", "missing", "nothing"]


def test_every_policy_can_be_listed() -> None:
    found = shown([record(0, verdict("scam", "high"))], every_policy=True)

    assert {line.policy for line in found.lines} == set(POLICY_IDS)


def test_the_head_sums_up_examination_latency_and_checkpoints() -> None:
    records = [record(index, latency_s=float(index)) for index in range(1, 21)]
    found = shown([*records, record(21, coverage={"chat": unexamined(MISSING_OBJECT)}, latency_s=30)])

    assert (found.segments, found.examined) == (21, {"examined": 20, "partly": 1, "not": 0})
    assert found.latency_s is not None
    assert (found.latency_s.p50, found.latency_s.p95) == (11.0, 20.0)
    assert found.checkpoints == (
        "text.risk e5-small-risk@bbbbbbbbbbbb (torch)",
        "vision.nudity open-nsfw@aaaaaaaaaaaa (torch)",
    )


@pytest.mark.parametrize(
    ("modality", "coverage", "words"),
    [
        ("frames", Coverage(status="examined", examined=5, total=5), "F5/5"),
        ("frames", Coverage(status="partly", reason=UNDECODABLE, examined=4, total=5), "F4/5!undecodable"),
        ("frames", Coverage(status="not", reason=MISSING_OBJECT, total=5), "F!missing_object"),
        ("speech", Coverage(status="examined", reason="silence", examined=10, total=10), "S10s"),
        ("speech", Coverage(status="not", reason=NO_INPUT), "S-"),
        ("speech", Coverage(status="examined", reason=NO_INPUT), "S-"),
        ("screen", Coverage(status="examined", examined=2, total=5), "O2"),
        ("chat", Coverage(status="not", reason=DEADLINE, total=12), "C!deadline"),
    ],
)
def test_coverage_is_told_in_a_word_per_modality(modality: Modality, coverage: Coverage, words: str) -> None:
    assert words in coverage_in_words(record(0, coverage={modality: coverage})).split()


def test_evidence_is_told_by_modality_with_its_texts_and_users() -> None:
    evidence = [chat_evidence("add me", users=5), chat_evidence("add me"), frame_evidence(probability=0.5)]

    assert seen_in_words(seen(evidence)) == "chat “add me” ×2 by 5 users; frames vision.nudity/nsfw"


def test_a_long_text_is_cut() -> None:
    words = seen_in_words(seen([chat_evidence("deposit " * 20, users=1)]))

    assert len(words) < 60
    assert words.endswith("…”")


def test_streamers_text_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\n加") == "a [31mb c 加"


def test_a_lexicons_term_is_told_with_the_steps_that_lead_to_it() -> None:
    term = chat_evidence("jia wei xin ba").model_copy(update={"label": "lexicon/加微信", "chain": ("pinyin",)})

    assert seen_in_words(seen([term])) == "chat “jia wei xin ba” (pinyin → 加微信) by 3 users"
    plain = term.model_copy(update={"chain": ()})
    assert seen_in_words(seen([plain])) == "chat “jia wei xin ba” (加微信) by 3 users"
