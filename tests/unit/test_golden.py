"""Golden examples: what they ask, and how a checkpoint that says something else is told."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.cards import Card, CardError
from pipelines.golden import GOLDEN_FILE, golden_findings, read_golden
from pipelines.items import Failure, Item, Line, Result, Scores, Span, Transcript
from tests import tiny_checkpoints as tiny


class Says:
    """A model of one answer."""

    def __init__(self, answer: Result) -> None:
        self._answer = answer

    def warm_up(self) -> None:
        pass

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        assert all(isinstance(item, Line) for item in items)
        return [self._answer] * len(items)


def card(folder: Path, *lines: str) -> Card:
    (folder / GOLDEN_FILE).write_text("\n".join(lines), encoding="utf-8")
    return tiny.card_of("text-classification", ("torch",), folder=folder)


def risky(score: float) -> Says:
    return Says(Scores(labels={"risky": score}))


EXAMPLE = '{"text": "send money first", "scores": {"risky": 0.9}, "tolerance": 0.05}'


def test_a_card_without_examples_has_nothing_to_find(tmp_path: Path) -> None:
    assert golden_findings(tiny.card_of("text-classification", ("torch",), folder=tmp_path), risky(0.1)) == ()


def test_scores_within_the_tolerance_pass(tmp_path: Path) -> None:
    assert golden_findings(card(tmp_path, EXAMPLE), risky(0.86)) == ()


def test_another_score_is_told_by_line_and_label_without_the_text(tmp_path: Path) -> None:
    found = golden_findings(card(tmp_path, EXAMPLE, EXAMPLE), risky(0.2))
    assert found == tuple(f"golden.jsonl:{line}: risky is 0.2000, expected 0.9000 within 0.05" for line in (1, 2))


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (Failure(error="NonFiniteScore"), "could not be scored (NonFiniteScore)"),
        (Scores(labels={"other": 0.9}), "no score for risky"),
        (Scores.model_construct(labels={"risky": float("nan")}), "risky is nan, expected 0.9000 within 0.05"),
    ],
)
def test_no_answer_and_no_number_do_not_pass(answer: Result, problem: str, tmp_path: Path) -> None:
    assert golden_findings(card(tmp_path, EXAMPLE), Says(answer)) == (f"golden.jsonl:1: {problem}",)


def test_words_are_looked_for_as_they_are_normalised(tmp_path: Path) -> None:
    span = Span(start_s=0, end_s=1, text="Hello, Room", confidence=1, no_speech=0, compression=1)
    model = Says(Transcript(language="en", language_probability=1, spans=(span,), speech_s=1))
    asked = '{"text": "stands for a clip", "heard": ["ＨＥＬＬＯ", "money"]}'
    assert golden_findings(card(tmp_path, asked), model) == (
        "golden.jsonl:1: 1 of 2 phrases are not in what was heard or read",
    )


def test_missing_media_are_a_finding_and_no_crash(tmp_path: Path) -> None:
    asked = '{"image": "absent.png", "scores": {"risky": 0.5}}'
    assert golden_findings(card(tmp_path, asked), risky(0.5)) == (
        "golden.jsonl:1: cannot be asked (FileNotFoundError)",
    )


def test_examples_may_lie_in_another_file(tmp_path: Path) -> None:
    other = tmp_path / "others.jsonl"
    other.write_text(EXAMPLE)
    bare = tiny.card_of("text-classification", ("torch",), folder=tmp_path)
    assert golden_findings(bare, risky(0.9), other) == ()
    assert golden_findings(bare, risky(0.1), other)[0].startswith("others.jsonl:1: risky is")


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"text": "hello"}',
        '{"text": "hello", "image": "a.png", "scores": {"risky": 1}}',
        '{"text": "hello", "scores": {"risky": 1}, "tolerance": 0}',
        '{"text": "hello", "score": {"risky": 1}}',
    ],
)
def test_an_example_that_says_too_little_is_named_by_its_line(line: str, tmp_path: Path) -> None:
    (tmp_path / GOLDEN_FILE).write_text(f"{EXAMPLE}\n{line}\n")
    with pytest.raises(CardError, match=r"golden\.jsonl:2: ") as caught:
        read_golden(tmp_path / GOLDEN_FILE)
    assert "hello" not in str(caught.value)
