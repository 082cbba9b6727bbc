"""The demo's rows and summary, over hand-made records."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from pathlib import Path

from rich.console import Console

from pipelines.coverage import DEADLINE
from pipelines.policies import read_policies
from pipelines.record import Coverage, Record
from tests.records import START, chat_evidence, record, unexamined, verdict
from workers.demo.printing import COLUMNS, print_reviews, print_rows
from workers.demo.report import Review
from workers.demo.table import coverage_lines, pace, rows
from workers.runs.reviewed import Finding

POLICIES = read_policies()


def scam(text: str) -> Record:
    return record(1, verdict("scam", "high", evidence=[chat_evidence(text, users=4)]))


def test_neighbouring_segments_of_one_policy_are_one_row() -> None:
    found = rows([record(index, verdict("scam", "high")) for index in range(3)], POLICIES, START)
    assert [(row.from_s, row.to_s, row.policy, row.action) for row in found] == [(0, 30, "scam", "act")]


def test_a_row_shows_what_was_written_and_by_how_many() -> None:
    (found,) = rows([scam("加微信 vx8888")], POLICIES, START)
    assert found.seen == ("chat: “加微信 vx8888”",)
    assert found.title == POLICIES.policies["scam"].title


def test_a_row_leaves_out_evidence_that_would_not_be_watched_by_itself() -> None:
    doubtful = [chat_evidence("加微信", users=1), chat_evidence("明天见", probability=0.05)]
    (found,) = rows([record(0, verdict("scam", "high", evidence=doubtful))], POLICIES, START)
    assert found.seen == ("chat: “加微信”",)


def test_a_verdict_that_only_lasts_says_so() -> None:
    (found,) = rows([record(0, verdict("scam", "high"))], POLICIES, START)
    assert found.seen == ("held over from the segments before",)


def test_calm_segments_between_findings_are_one_row() -> None:
    records = [record(0, verdict("scam", "medium")), record(1), record(2), record(3, verdict("drugs", "high"))]
    found = rows(records, POLICIES, START)
    assert [(row.from_s, row.to_s, row.policy) for row in found] == [(0, 10, "scam"), (10, 30, None), (30, 40, "drugs")]
    assert found[1].seen == ("nothing above watch",)


def test_a_watched_policy_is_named_but_makes_no_row_of_its_own() -> None:
    (found,) = rows([record(0), record(1, verdict("violence", "low"))], POLICIES, START)
    assert found.seen == ("nothing above watch (watched: violence)",)


def test_an_unexamined_segment_never_reads_as_calm() -> None:
    (found,) = rows([record(0, coverage={"speech": unexamined(DEADLINE, 10)})], POLICIES, START)
    assert found.seen == ("partly examined: speech deadline",)


def test_a_missing_segment_is_a_row() -> None:
    found = rows([record(0), record(2)], POLICIES, START)
    assert [(row.kind, row.seen) for row in found][1] == ("missing", ("no record",))


def test_coverage_adds_up_what_was_examined_and_what_was_spared() -> None:
    reused = Coverage(status="examined", examined=5, total=5, skipped={"near_duplicate": 3})
    lines = coverage_lines([record(0, coverage={"frames": reused}), record(1)])
    assert lines[0] == "10 of 10 frames (3 like the one before)"
    assert lines[-1] == "nothing was left unexamined"


def test_coverage_names_what_was_not_examined_and_why() -> None:
    lines = coverage_lines([record(0, coverage={"speech": unexamined(DEADLINE, 10)}), record(1)])
    assert lines[1] == "10 of 20 seconds of sound"
    assert lines[-1] == "not wholly examined: speech deadline, in 1 segments"


def test_pace_counts_seconds_of_stream_and_of_work() -> None:
    found = pace([record(index, latency_s=2.2) for index in range(4)], 8.0)
    assert (found.segments, found.stream_s, found.wall_s, found.work_p50_s) == (4, 40, 8.0, 2.0)


def test_the_table_fits_a_log_of_a_hundred_columns() -> None:
    printed = StringIO()
    print_rows(Console(file=printed, width=COLUMNS), rows([scam("加微信" * 40)], POLICIES, START))
    assert max(map(len, printed.getvalue().splitlines())) <= COLUMNS


def reviewed(*found: Finding) -> Review:
    return Review(
        run="review-1",
        stream_id="demo",
        since=START + timedelta(seconds=60),
        until=START + timedelta(seconds=150),
        reason="scam act 0.97",
        segments=9,
        found=found,
        texts_missed=0,
        page=Path("/state/demo/review-1.html"),
    )


def printed(review: Review) -> str:
    console = Console(file=StringIO(), width=COLUMNS, markup=False, highlight=False)
    print_reviews(console, [review], START)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_a_review_says_what_it_found_beyond_live_and_where_its_packet_is() -> None:
    at = START + timedelta(seconds=120)
    found = Finding(
        kind="flagged",
        policy="scam",
        segments=1,
        first=at,
        last=at,
        probability=0.9,
        modality="screen",
        text="加微信\x1b",
    )
    shown = printed(reviewed(found))
    assert "deep review of demo, 01:00-02:30, 9 segments" in shown
    assert "beyond live: scam flagged at 02:00 in screen: “加微信" in shown
    assert "\x1b" not in shown
    assert "its packet: /state/demo/review-1.html" in shown


def test_a_review_that_found_nothing_more_says_so() -> None:
    assert "beyond live: nothing" in printed(reviewed())
