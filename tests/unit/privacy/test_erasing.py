"""One user's words taken out of a record, and nothing else."""

from __future__ import annotations

from pipelines.record import Hit, Record
from tests.records import chat_evidence, chat_line, record, verdict
from workers.privacy.erasing import REMOVED, without_user


def spoken(one: Record) -> list[tuple[str, tuple[str, ...]]]:
    return [(text.text, text.users) for text in one.observations.texts]


def test_what_only_the_user_wrote_is_blanked_wherever_the_record_has_it() -> None:
    hit = Hit(term="add me", policy="scam", surface="add me", start=0, end=6, strength=0.8)
    mine = chat_line("add me now", users=["viewer-7"]).model_copy(update={"hits": (hit,), "unmasked": "ADD me now"})
    before = record(0, verdict("scam", "medium", evidence=[chat_evidence("add me now")]), texts=[mine])
    erasure = without_user(before, {"viewer-7"})

    assert erasure is not None
    assert "add me now" not in erasure.record.model_dump_json().lower()
    assert "viewer-7" not in erasure.record.model_dump_json()
    assert erasure.texts == {"add me now", "ADD me now"}
    assert [one.probability for one in erasure.record.verdicts] == [one.probability for one in before.verdicts]
    assert erasure.record.observations.texts[0].scores == mine.scores


def test_what_others_wrote_too_stays_without_the_user() -> None:
    before = record(0, verdict("scam", "medium", evidence=[chat_evidence("hi")]), texts=[chat_line("hi", users="ab")])
    erasure = without_user(before, {"a"})

    assert erasure is not None
    assert spoken(erasure.record) == [("hi", ("b",))]
    assert erasure.texts == frozenset()
    assert "hi" in {one.text for found in erasure.record.verdicts for one in found.evidence}


def test_texts_keep_their_places() -> None:
    lines = [chat_line("one", users="a"), chat_line("two", users="b"), chat_line("three", users="ab")]
    erasure = without_user(record(0, texts=lines), {"a"})

    assert erasure is not None
    assert spoken(erasure.record) == [(REMOVED, ()), ("two", ("b",)), ("three", ("b",))]


def test_a_record_without_the_user_is_left_alone() -> None:
    assert without_user(record(0, texts=[chat_line("one", users="b")]), {"a"}) is None


def test_doing_it_again_finds_nothing() -> None:
    erasure = without_user(record(0, texts=[chat_line("one", users="a")]), {"a"})

    assert erasure is not None
    assert without_user(erasure.record, {"a"}) is None
