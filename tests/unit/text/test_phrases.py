from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.cards import CARDS_DIRECTORY
from pipelines.policies import POLICY_IDS
from pipelines.text.training.datasets import phrase_examples, read_held_out
from pipelines.text.training.phrases import Phrase, PhraseError, expand, read_phrases

SHIPPED = CARDS_DIRECTORY / "e5-small-risk" / "phrases"


@pytest.fixture(scope="module")
def shipped() -> tuple[Phrase, ...]:
    return read_phrases(SHIPPED)


def test_a_template_gives_every_choice_once() -> None:
    assert set(expand("{a|b} {thing}", {"thing": ("x", "y")}, 9)) == {"a x", "a y", "b x", "b y"}


def test_choices_nest_and_may_be_empty() -> None:
    assert set(expand("go{ to {thing}|}", {"thing": ("x", "y")}, 9)) == {"go", "go to x", "go to y"}


def test_a_template_gives_no_more_than_it_may_and_the_same_each_time() -> None:
    slots = {"n": tuple(map(str, range(50)))}
    lines = expand("{n} {n}", slots, 8)
    assert len(set(lines)) == 8
    assert expand("{n} {n}", slots, 8) == lines


def test_a_template_with_an_unknown_slot_is_named(tmp_path: Path) -> None:
    part = "{templates: ['hello']}"
    content = f"policy: null\nzh: {part}\nen: {{templates: ['buy {{thing}}']}}\nes: {part}\nothers: {part}\n"
    (tmp_path / "benign.yaml").write_text(content)
    with pytest.raises(PhraseError, match=r"benign.yaml: no slot 'thing'"):
        read_phrases(tmp_path)


def test_the_shipped_phrases_lean_on_mandarin_and_ordinary_chat(shipped: tuple[Phrase, ...]) -> None:
    assert len(shipped) >= 3000
    assert sum(phrase.language == "zh" for phrase in shipped) >= 0.35 * len(shipped)
    assert sum(phrase.policy is None for phrase in shipped) >= 0.45 * len(shipped)
    assert {phrase.policy for phrase in shipped} == {None, *POLICY_IDS}


def test_whole_sentences_of_ordinary_speech_are_among_the_shipped_phrases(shipped: tuple[Phrase, ...]) -> None:
    benign = [phrase for phrase in shipped if phrase.policy is None]
    assert sum(phrase.language in ("en", "es") and len(phrase.text.split()) >= 10 for phrase in benign) >= 400
    assert sum(phrase.language == "zh" and len(phrase.text) >= 18 for phrase in benign) >= 200


def test_lines_of_one_template_are_held_out_together(shipped: tuple[Phrase, ...]) -> None:
    splits: dict[str, set[str]] = {}
    for example in phrase_examples(shipped):
        splits.setdefault(example.group, set()).add(example.split)
    assert all(len(split) == 1 for split in splits.values())


def test_no_held_out_line_is_a_training_line_in_other_clothes(shipped: tuple[Phrase, ...]) -> None:
    learned = [_pieces(phrase.text, phrase.language) for phrase in shipped]
    for line in read_held_out(SHIPPED / "heldout.jsonl"):
        pieces = _pieces(line.text, line.language)
        likeness = max(len(pieces & other) / len(pieces) for other in learned)
        assert likeness < 0.65, line.text


def test_held_out_lines_know_only_policies_that_exist() -> None:
    lines = read_held_out(SHIPPED / "heldout.jsonl")
    assert len(lines) >= 150
    assert all(set(line.known) == set(POLICY_IDS) for line in lines)
    assert {line.language for line in lines} == {"zh", "en", "es"}


def _pieces(text: str, language: str) -> frozenset[str]:
    """Pairs of Han characters, or stretches of four letters."""
    letters = "".join(character for character in text.lower() if character.isalnum())
    length = 2 if language == "zh" else 4
    return frozenset(letters[at : at + length] for at in range(max(1, len(letters) - length + 1)))
