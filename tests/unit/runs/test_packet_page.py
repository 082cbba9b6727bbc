"""The review packet as a page: what it leads with, what it folds away, and what strangers wrote stays text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from pipelines.policies import read_policies
from pipelines.record import Hit as Term
from pipelines.record import TextObservation
from tests import records
from workers.runs.packet_page import CHARACTERS, TEXTS_SHOWN, conclusion, packet_page, passages
from workers.runs.reviewed import Hit, Mark, Packet, Pass, Text
from workers.runs.run import Named
from workers.runs.side_by_side import SideBySide
from workers.storage import ObjectMissing


class Nothing:
    """A store without objects."""

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        raise ObjectMissing(key)


def packet(texts: Sequence[Text] = (), **fields: object) -> Packet:
    sides = SideBySide(read_policies(), {})
    live = records.record(0)
    sides.add(live, live.model_copy(update={"run": "review-1"}))
    made = Packet(
        schema="liverisk.packet",
        run="review-1",
        stream_id="room-1",
        since=records.START,
        until=records.START + timedelta(seconds=10),
        created_at=records.START + timedelta(minutes=1),
        by="analyst",
        titles={"scam": "Scams"},
        profile="deep",
        segments=1,
        reviewed=1,
        deep=sides.deep.examined(),
        live=sides.live.examined(),
        texts=tuple(texts),
    )
    return made.model_copy(update=fields)


def text(words: str, *hits: Hit, at_s: float = 0, **fields: object) -> Text:
    said = Text(at=records.START + timedelta(seconds=at_s), source="chat", text=words, hits=hits)
    return said.model_copy(update=fields)


SCAM = Hit(policy="scam", probability=0.93, label="text.risk/scam", live=0.1, missed=True)


def page(of: Packet) -> str:
    return packet_page(of, Nothing())


def test_markup_and_direction_marks_of_strangers_are_plain_text() -> None:
    nasty = "<script>alert(1)</script>\u202e\" onload='x'"

    html = page(packet([text(nasty, SCAM, normalised=nasty, live_text=nasty)], reason=nasty, by=nasty))

    assert "<script" not in html
    assert "\u202e" not in html
    assert html.count("&lt;script&gt;") == 5


NOTHING_MISSED = "Deep review found nothing that live had missed"


def test_of_what_nobody_looked_at_the_page_does_not_say_that_nothing_was_missed() -> None:
    whole = packet()
    left = Named(stream_id="room-1", segment_id="segment-1", reason="media_expired")
    unheard = Pass(segments={"not": 1}, reasons={"model_failed": 1}, examined=0, total=10, skipped={})
    deaf = whole.deep.model_copy(update={"coverage": whole.deep.coverage | {"speech": unheard}})
    in_part = f"{NOTHING_MISSED} in what it could look at"

    assert conclusion(whole) == NOTHING_MISSED
    assert conclusion(packet(segments=2, unexaminable=(left,))) == in_part
    assert conclusion(packet(kept=(left,))) == conclusion(packet(deep=deaf)) == in_part
    assert conclusion(packet(reviewed=0)) == "Nothing could be reviewed"
    assert 'class="missed nothing"' in page(whole)
    assert "everything was wholly examined" in page(whole)
    for one in (packet(segments=2, unexaminable=(left,)), packet(reviewed=0, unexaminable=(left,)), packet(deep=deaf)):
        assert 'class="missed"' in page(one)
        assert "Nothing was said" not in page(one)
    assert "There is nothing to compare." in page(packet(reviewed=0))
    assert "everything was wholly examined" not in page(packet(reviewed=0))


def test_a_hit_says_its_policy_label_what_live_gave_and_how_its_form_came_about() -> None:
    html = page(packet([text("ＡＤＤ me", SCAM, chain=("compatibility", "case"), normalised="add me")]))

    assert "Scams 0.93" in html
    assert "text.risk/scam, live 0.10, <strong>missed by live</strong>" in html
    assert "compatibility → case: <q>add me</q>" in html


def test_long_stretches_without_findings_are_folded() -> None:
    quiet = [text(f"line {index}", at_s=index) for index in range(20)]
    quiet[12] = text("add me", SCAM, at_s=12)

    assert [(one.folded, len(one.texts)) for one in passages(quiet)] == [(True, 10), (False, 5), (True, 5)]


def test_a_page_keeps_findings_when_there_is_too_much_text() -> None:
    many = [text(f"line {index}", at_s=index) for index in range(TEXTS_SHOWN + 10)]
    html = page(packet([*many, text("add me", SCAM, at_s=99_999)]))

    assert "<mark>add me</mark>" in html
    assert "11 more texts, in which nothing was found, not on this page" in html
    too_many = [text("add me", SCAM, at_s=index) for index in range(TEXTS_SHOWN + 3)]
    assert "3 more texts, 3 of them with findings, not on this page" in page(packet(too_many))


def test_one_text_does_not_fill_the_page() -> None:
    html = page(packet([text("x" * 4000, SCAM)]))

    assert "x" * (CHARACTERS - 1) in html
    assert "x" * (CHARACTERS + 1) not in html


def test_what_was_read_by_live_alone_is_listed() -> None:
    html = page(packet(only_live=(text("a ghost"),)))

    assert "1 text that live had and deep does not" in html
    assert "a ghost" in html


def test_texts_that_live_read_alike_are_the_same_however_they_are_cut() -> None:
    def spoken(words: str, at_s: float) -> TextObservation:
        return records.chat_line(words, at_s=at_s, users=()).model_copy(update={"source": "speech", "repeats": 1})

    sides = SideBySide(read_policies(), {})
    live = records.record(0, texts=[spoken("welcome back", 1), spoken("everybody how are you", 4)])
    deep = records.record(0, texts=[spoken("welcome back everybody", 1), spoken("how are you", 5)], run="review-1")
    sides.add(live, deep)

    assert [one.live for one in sides.texts()[0]] == ["same", "same"]
    assert sides.only_live() == ()


TERM = Hit(policy="scam", probability=0.6, label="lexicon/加微信")


def test_a_lexicons_terms_are_marked_where_they_stand_with_what_they_are_taken_for() -> None:
    mark = Mark(start=2, end=4, term="加微信", policy="scam", chain=("simplified", "variant"))
    html = page(packet([text("快来加薇吧", TERM, marks=(mark,), unmasked="快来加微信吧")]))

    assert '快来<mark title="加微信 (simplified, variant)">加薇</mark>吧' in html
    assert "<q>加薇</q> = 加微信 (simplified → variant)" in html
    assert "without disguise: <q>快来加微信吧</q>" in html


def test_marks_that_overlap_or_lie_beyond_what_is_shown_break_nothing() -> None:
    marks = tuple(Mark(start=a, end=b, term="<b>", policy="scam") for a, b in ((0, 3), (2, 5), (4990, 4999)))
    html = page(packet([text("abcdef" + "x" * 5000, TERM, marks=marks)]))

    assert '<mark title="&lt;b&gt;">abc</mark><mark title="&lt;b&gt;">de</mark>fx' in html
    assert "<b>" not in html


def test_only_terms_that_count_are_marked() -> None:
    known = Term(term="加微信", policy="scam", surface="v", start=0, end=1, strength=0.6)
    doubtful = Term(term="博彩", policy="gambling", surface="b", start=2, end=3, strength=0.7, needs_context=True)
    line = records.chat_line("v b", scam=0.1).model_copy(update={"hits": (known, doubtful), "unmasked": "w b"})
    sides = SideBySide(read_policies(), {"e5-small-risk": {}})
    sides.add(None, records.record(0, texts=[line], run="review-1"))
    (read,) = sides.texts()[0]

    assert [(mark.term, mark.start, mark.end) for mark in read.marks] == [("加微信", 0, 1)]
    assert [(hit.policy, hit.label) for hit in read.hits] == [("scam", "lexicon/加微信")]
    assert read.unmasked == "w b"
