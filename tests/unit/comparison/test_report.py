"""The comparison as a whole, and when it speaks against a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html.parser import HTMLParser

import pytest

from pipelines.cards import Label
from pipelines.comparison.evaluation import Evaluation, Golden, Tolerance
from pipelines.comparison.pairs import Pair
from pipelines.comparison.rates import Bin
from pipelines.comparison.report import Comparison, Cost, Spoken, compare
from pipelines.items import CheckpointRef
from pipelines.policies import read_policies
from workers.comparison.page import comparison_page, evaluation_page, histogram, pieces, points
from workers.comparison.words import comparison_lines, evaluation_lines

POLICIES = read_policies()
SCAM = {"scam": Label(policies=("scam",))}
OLD = CheckpointRef(id="old-risk", digest="a" * 64, session="torch")
NEW = CheckpointRef(id="new-risk", digest="b" * 64, session="torch")
COST = Cost(items=220, batch=32, p50_ms=10, p95_ms=20, seconds_per_item=0.004, memory_mb=500)


def pair(
    number: int, old: float | None, new: float | None, *, about: bool | None = None, text: str | None = None
) -> Pair:
    return Pair(
        id=f"room-1/{number}",
        where="chat at 4.0 s",
        modality="chat",
        language="en",
        old=None if old is None else {"scam": old},
        new=None if new is None else {"scam": new},
        truth={} if about is None else {"scam": about},
        text=text,
    )


def compared(
    pairs: Sequence[Pair],
    *,
    new: Mapping[str, Label] = SCAM,
    failed: Mapping[str, int] | None = None,
    cost: Cost | None = COST,
    left_out: Mapping[str, int] | None = None,
) -> Comparison:
    return compare(
        pairs,
        Spoken(OLD, SCAM, {}, COST),
        Spoken(NEW, new, failed or {}, cost),
        POLICIES,
        slot="text.risk",
        source="lines made by hand",
        left_out=left_out,
    )


def judged(new_about: float = 0.9, new_other: float = 0.1) -> list[Pair]:
    """Twenty items about scams, which the old checkpoint calls 0.9, and two hundred others, which it calls 0.1."""
    about = [pair(number, 0.9, new_about, about=True) for number in range(20)]
    return about + [pair(number, 0.1, new_other, about=False) for number in range(20, 220)]


def evaluated(comparison: Comparison, golden: Golden | None = None, forced: str | None = None) -> Evaluation:
    return Evaluation.of(comparison, golden or Golden(examples=1), Tolerance(), forced=forced)


def test_what_was_not_answered_is_counted_by_who_was_silent() -> None:
    found = compared([pair(1, 0.9, 0.9), pair(2, 0.9, None), pair(3, None, None)], left_out={"frames gone": 2})

    assert (found.items, found.compared) == (5, 1)
    assert found.left_out == {"frames gone": 2, "no answer from new": 1, "no answer from old and new": 1}


def test_a_policy_that_only_one_speaks_for_is_told_with_what_it_flags() -> None:
    hate = {"scam": Label(policies=("hate",))}
    found = compared([pair(1, 0.9, 0.95), pair(2, 0.1, 0.2)], new=hate)

    assert found.policies == ()
    assert [(one.policy, one.by, one.items, one.flagged) for one in found.only_one] == [
        ("hate", "new", 2, 1),
        ("scam", "old", 2, 1),
    ]


def test_a_comparison_is_read_back_from_its_json() -> None:
    found = compared(judged())

    assert Comparison.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_the_same_scores_pass() -> None:
    found = evaluated(compared(judged()))

    assert found.passed
    assert found.regressions == ()


def test_lost_precision_recall_and_calibration_are_a_line_each() -> None:
    found = evaluated(compared(judged(new_about=0.1)))

    assert not found.passed
    assert [line.split(" (")[0] for line in found.regressions] == [
        "scam: average precision 1.000 → 0.091",
        "scam: recall at 1% false alarms 1.000 → 0.000",
    ]


def test_worse_calibration_alone_is_refused() -> None:
    found = evaluated(compared(judged(new_other=0.4)))

    assert [line.split(" (")[0] for line in found.regressions] == ["scam: calibration error 0.100 → 0.373"]


def test_a_policy_that_is_no_longer_spoken_for_is_refused() -> None:
    found = evaluated(compared(judged(), new={"scam": Label(policies=("hate",))}))

    assert found.regressions == ("scam: the active checkpoint speaks for it, this one does not",)


def test_items_that_only_the_new_one_cannot_score_are_refused() -> None:
    found = evaluated(compared(judged(), failed={"NonFiniteScore": 3}))

    assert found.regressions == ("3 more items could not be scored (NonFiniteScore)",)


def test_a_slower_and_larger_checkpoint_is_refused() -> None:
    dear = Cost(items=220, batch=32, p50_ms=21, p95_ms=30, seconds_per_item=0.009, memory_mb=1001)
    found = evaluated(compared(judged(), cost=dear))

    assert found.regressions == (
        "median latency of one item 10.0 → 21.0 ms, more than 2 times",
        "engine time of one item in full batches 4.0 → 9.0 ms, more than 2 times",
        "memory 500 → 1001 MB, more than 2 times",
    )


def test_a_golden_example_that_came_out_otherwise_is_refused() -> None:
    found = evaluated(compared(judged()), Golden(examples=2, findings=("golden.jsonl:1: risky is 0.1",)))

    assert found.regressions == ("golden example: golden.jsonl:1: risky is 0.1",)


def test_too_few_judged_items_decide_nothing_and_are_told() -> None:
    found = evaluated(compared([pair(1, 0.9, 0.1, about=True), pair(2, 0.1, 0.9, about=False)]))

    assert found.passed
    assert found.unjudged == ("too few judged items to decide by: scam",)


def test_a_checkpoint_that_nothing_judged_does_not_pass() -> None:
    found = evaluated(compared([pair(1, 0.9, 0.9)]), Golden(examples=0))

    assert found.regressions == (
        "nothing was judged: there are no golden examples, and too few judged items of every policy",
    )


def test_a_reason_takes_what_is_refused_and_stands_in_the_result() -> None:
    found = evaluated(compared(judged(new_about=0.1)), forced="the old one is withdrawn")

    assert found.passed
    assert found.forced == "the old one is withdrawn"
    assert len(found.regressions) == 2
    assert Evaluation.model_validate_json(found.model_dump_json(by_alias=True)) == found


def test_a_reason_that_was_not_needed_is_not_kept() -> None:
    assert evaluated(compared(judged()), forced="to be sure").forced is None


def test_the_terminal_says_who_disagrees_and_quotes_nothing() -> None:
    said = "\n".join(comparison_lines(compared([pair(1, 0.95, 0.1), pair(2, 0.1, 0.1)])))

    assert "old-risk@aaaaaaaaaaaa (torch) (old) against new-risk@bbbbbbbbbbbb (torch) (new)" in said
    assert "scam 0.95 high → 0.10 none  room-1/1, chat at 4.0 s" in said
    assert "“" not in said


def test_the_terminal_quotes_where_it_is_asked_to() -> None:
    said = "\n".join(comparison_lines(compared([pair(1, 0.95, 0.1, text="send money first")])))

    assert "“send money first”" in said


def test_the_terminal_says_why_a_checkpoint_is_refused() -> None:
    said = list(evaluation_lines(evaluated(compared(judged(new_other=0.4)))))

    assert [line for line in said if line.startswith("worse: scam: calibration error")]
    assert not [line for line in said if line.startswith("passed")]


class Tags(HTMLParser):
    """Raises on tags that do not close what was opened last; notes what would be fetched or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.reaches_out: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br", "img", "link"):
            self.open.append(tag)
        if tag in ("script", "link", "iframe") or any(name in ("src", "href") for name, _ in attrs):
            self.reaches_out.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    return tags


@pytest.mark.parametrize(
    "pairs",
    [judged(new_other=0.7), [pair(1, 0.9, 0.1)], [pair(1, 0.9, None)]],
    ids=["judged", "one item", "nothing compared"],
)
def test_the_page_is_whole_and_loads_nothing(pairs: list[Pair]) -> None:
    assert read(comparison_page(compared(pairs))).reaches_out == []
    assert read(evaluation_page(evaluated(compared(pairs)))).reaches_out == []


def test_the_page_escapes_the_texts_it_was_asked_to_quote() -> None:
    page = comparison_page(compared([pair(1, 0.9, 0.1, text="<b>free</b> ‮money")]))

    assert "&lt;b&gt;free&lt;/b&gt;  money" in page


def test_bars_stand_one_after_another_on_one_scale() -> None:
    figures = compared([pair(1, 0.9, 0.1), pair(2, 0.9, 0.9), pair(3, 0.1, 0.9), pair(4, 0.1, 0.9)]).policies[0]

    assert [(one.kind, one.x, one.width) for one in pieces(figures, most=8)] == [
        ("only-old", 0, 40),
        ("both", 40, 40),
        ("only-new", 80, 80),
    ]


def test_histogram_heights_are_logarithms_of_counts() -> None:
    (few, none), (_, most) = [(column.old, column.new) for column in histogram([1, 0], [0, 3])]

    assert (few, none, most) == (50, 0, 100)


def test_a_reliable_bin_lies_on_the_diagonal() -> None:
    (dot,) = points([Bin(items=10, said=0.25, seen=0.25)])

    assert (dot.x, dot.y, dot.radius) == (25, 75, 2.5)
