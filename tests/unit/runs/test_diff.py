"""Changes counted, and the page made of them."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.record import Severity
from tests.records import START, verdict
from workers.runs.diff import Diff, summed_up
from workers.runs.diff_page import page
from workers.runs.pages import render
from workers.runs.run import Change, ChangeKind, Named, Plan, Receipt, Standing
from workers.runs.tallying import EXAMPLES_KEPT, NAMES_KEPT, STREAMS_KEPT, KindsBy, Tallying, counts, counts_by

VOID = {"meta", "br", "link", "img", "hr"}


def standing(severity: Severity) -> Standing:
    made = verdict("scam", severity)
    return Standing(severity=severity, action=made.action, probability=made.probability)


def change(
    index: int = 0,
    before: Severity = "none",
    after: Severity = "high",
    *,
    kind: ChangeKind = "flagged",
    stream_id: str = "room-1",
    policy: str = "scam",
    viewers: int | None = 100,
    text: str | None = "send a deposit",
    language: str | None = "zh",
    modality: str | None = "chat",
) -> Change:
    """A verdict of the `index`-th segment of a stream that differs."""
    return Change(
        kind=kind,
        policy=policy,
        stream_id=stream_id,
        segment_id=f"segment-{index}",
        captured_at=START + timedelta(seconds=10 * index),
        language=language,
        viewers=viewers,
        before=standing(before),
        after=standing(after),
        modality=modality,
        label="text.risk/scam" if modality else None,
        text=text,
    )


def receipt(*changes: Change, unexaminable: tuple[Named, ...] = (), kept: tuple[Named, ...] = ()) -> Receipt:
    return Receipt(batch=1, at=START, recorded=10, unexaminable=unexaminable, kept=kept, changes=changes)


def tallied(*changes: Change) -> Tallying:
    found = Tallying()
    found.add(receipt(*changes))
    return found


def totals(tally: KindsBy) -> dict[str, int]:
    return {name: one.total for name, one in counts_by(tally).items()}


def diff_of(*receipts: Receipt) -> Diff:
    found = Tallying()
    for one in receipts:
        found.add(one)
    policies = read_policies(POLICIES_FILE)
    plan = Plan(
        schema="liverisk.plan",
        run="rescan-1",
        kind="rescan",
        lane="rescan",
        profile="live",
        created_at=START,
        by="analyst@host",
        reason="<script>alert('reason')</script>",
        selection={"where": "probability > 0.5 AND policy = 'scam'"},
        policies=policies,
        batches=(10,),
    )
    return summed_up(plan, "finished", found, None)


def test_changes_are_counted_by_kind_policy_language_and_modality() -> None:
    found = tallied(
        change(0),
        change(0, policy="sexual", modality="frames", text=None),
        change(1, "high", "low", kind="lowered", language=None, modality=None),
    )

    assert counts(found.total).model_dump() == {"flagged": 2, "lifted": 0, "raised": 0, "lowered": 1}
    assert {name: one.total for name, one in counts_by(found.by_policy).items()} == {"scam": 2, "sexual": 1}
    assert {name: one.total for name, one in counts_by(found.by_language).items()} == {"zh": 2, "none": 1}
    assert {name: one.total for name, one in counts_by(found.by_modality).items()} == {
        "chat": 1,
        "frames": 1,
        "none": 1,
    }
    assert (found.segments, found.streams.count) == (2, 1)


def test_streams_come_by_new_severity_times_viewers() -> None:
    found = tallied(
        change(0, after="low", stream_id="crowded", viewers=5000),
        change(0, after="high", stream_id="severe", viewers=1000),
        change(0, after="high", stream_id="untold", viewers=None),
        change(0, "high", "none", kind="lifted", stream_id="cleared", viewers=90000),
    )

    assert [(one.stream_id, one.score) for one in found.streams.told()] == [
        *(("crowded", 5000), ("severe", 3000)),
        *(("untold", 3), ("cleared", 0)),
    ]


def test_a_stream_that_spans_batches_is_one_stream() -> None:
    found = Tallying()
    found.add(receipt(change(0, after="low", viewers=10), change(0, policy="hate")))
    found.add(receipt(change(1, after="high", viewers=40)))

    (stream,) = found.streams.told()

    assert (stream.segments, stream.changes.flagged, stream.viewers, stream.score) == (2, 3, 100, 300)
    assert stream.policies == ("scam", "hate")
    assert stream.last_at - stream.first_at == timedelta(seconds=10)


def test_of_very_many_streams_the_most_urgent_are_kept_and_all_are_counted() -> None:
    found = tallied(*(change(0, stream_id=f"room-{number}", viewers=number) for number in range(1000)))

    assert found.streams.count == 1000
    assert [one.stream_id for one in found.streams.told()] == [f"room-{999 - n}" for n in range(STREAMS_KEPT)]
    assert len(found.streams._kept) <= 2 * STREAMS_KEPT


def test_examples_are_the_strongest_of_each_policy_and_kind() -> None:
    weak = [change(number, after="low", text=f"text {number}") for number in range(20)]

    found = tallied(*weak, change(30, text="strongest"), change(31, "high", "none", kind="lifted"))

    examples = list(found.examples.told())
    assert [one.kind for one in examples] == ["flagged"] * EXAMPLES_KEPT + ["lifted"]
    assert examples[0].text == "strongest"


def test_the_same_text_of_one_stream_is_one_example() -> None:
    examples = list(tallied(*(change(number) for number in range(5))).examples.told())

    assert len(examples) == 1


def test_segments_left_out_are_counted_by_reason_and_the_first_are_named() -> None:
    names = tuple(Named(stream_id="room-1", segment_id=f"segment-{n}", reason="gone") for n in range(NAMES_KEPT + 5))
    found = Tallying()
    found.add(receipt(unexaminable=names, kept=(names[0].model_copy(update={"reason": "speech media_expired"}),)))

    left = found.unexaminable.told()

    assert (left.count, left.why, left.first) == (NAMES_KEPT + 5, {"gone": NAMES_KEPT + 5}, names[:NAMES_KEPT])
    assert found.kept.told().why == {"speech media_expired": 1}


def test_reasons_without_end_are_gathered_as_other() -> None:
    names = tuple(Named(stream_id="room-1", segment_id="segment", reason=f"reason {n}") for n in range(300))
    found = Tallying()
    found.add(receipt(unexaminable=names))

    why = found.unexaminable.told().why

    assert len(why) == 101
    assert why["other"] == 200


class Outline(HTMLParser):
    """The open elements at every moment, the text of headings, and what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.fetched: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [(name, value) for name, value in attrs if name in ("src", "href", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data)


@pytest.fixture
def told() -> str:
    named = Named(stream_id="room-7", segment_id="segment-7", reason="the source record cannot be read")
    return page(
        diff_of(
            receipt(
                change(0, text="<img src=x onerror=alert(1)> \u202eplusone"),
                change(1, "high", "low", kind="lowered", policy="self_harm", modality=None, text=None),
                unexaminable=(named,),
                kept=(named.model_copy(update={"reason": "frames media_expired"}),),
            )
        )
    )


def test_the_page_is_whole_and_says_everything_in_order(told: str) -> None:
    outline = Outline()
    outline.feed(told)

    assert outline.open == []
    assert outline.headings == [
        "What rescan-1 changed",
        "What was asked",
        *("Where it changed", "By policy", "By language", "By modality"),
        "Streams that matter first",
        *("Examples", "Suicide and self-harm", "Scams, phishing and luring off the platform"),
        "Not examinable",
        "Only from what was stored",
    ]


def test_the_page_fetches_nothing_and_runs_nothing(told: str) -> None:
    outline = Outline()
    outline.feed(told)

    assert outline.fetched == []
    assert re.search(r"https?:|@import|url\(|<script|javascript:", told) is None


def test_texts_cannot_become_part_of_the_page(told: str) -> None:
    assert "&lt;img src=x onerror=alert(1)&gt;" in told
    assert "&lt;script&gt;alert(" in told
    assert "\u202e" not in told


def test_a_page_of_no_change_says_so_and_names_what_was_not_examined() -> None:
    named = Named(stream_id="room-7", segment_id="segment-7", reason="gone")

    told = page(diff_of(receipt(unexaminable=(named,))))

    assert "No verdict differs in 10 segments." in told
    assert "1 segments could not be examined" in told
    assert "room-7" in told
    assert "Where it changed" not in told


def test_a_page_of_an_unfinished_run_says_how_far_it_is() -> None:
    unfinished = diff_of(receipt(change())).model_copy(update={"state": "paused", "selected": 1200})

    assert re.search(r"Not finished: paused.</strong>\s10 of 1,200 segments", page(unfinished))


def test_a_value_that_a_template_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        render("diff.html")
