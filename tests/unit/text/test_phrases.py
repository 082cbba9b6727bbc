from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest
import yaml

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


def test_a_disguise_keeps_the_characters_and_their_order() -> None:
    lines = expand("{~加微信}", {}, 9)
    assert len(lines) == 9
    assert all([sign for sign in line if sign in "加微信"] == ["加", "微", "信"] for line in lines)
    assert "加微信" not in lines


def test_a_latin_word_may_be_disguised_by_digits() -> None:
    assert "c0c@1n3" in expand("{~cocaine}", {}, 40)


def test_a_choice_named_like_a_slot_is_refused() -> None:
    with pytest.raises(ValueError, match=r"write \{thing\}"):
        expand("buy {thing|this}", {"thing": ("x",)}, 9)


def test_a_template_with_an_unknown_slot_is_named(tmp_path: Path) -> None:
    _write(tmp_path, "benign.yaml", policy="null", en="{templates: ['buy {thing}']}")
    with pytest.raises(PhraseError, match=r"benign.yaml: no slot 'thing'"):
        read_phrases(tmp_path)


def test_look_alikes_share_the_slots_and_are_about_no_policy(tmp_path: Path) -> None:
    part = "{slots: {app: [vx]}, templates: ['add {app}'], benign: ['never add {app}']}"
    _write(tmp_path, "scam.yaml", policy="scam", en=part)
    found = {phrase.text: (phrase.policy, phrase.unknown) for phrase in read_phrases(tmp_path)}
    assert found["never add vx"] == (None, ())
    assert found["add vx"] == ("scam", ("gambling",))


def test_a_template_may_leave_another_policy_open(tmp_path: Path) -> None:
    _write(tmp_path, "scam.yaml", policy="scam", en="{templates: ['?drugs,weapons scan this']}")
    unknown = {phrase.text: phrase.unknown for phrase in read_phrases(tmp_path)}
    assert unknown["scan this"] == ("gambling", "drugs", "weapons")


def test_a_template_that_leaves_no_policy_open_is_named(tmp_path: Path) -> None:
    _write(tmp_path, "scam.yaml", policy="scam", en="{templates: ['?fraud scan this']}")
    with pytest.raises(PhraseError, match=r"scam.yaml: no policy 'fraud'"):
        read_phrases(tmp_path)


def test_a_line_cannot_be_ordinary_and_a_risk(tmp_path: Path) -> None:
    _write(tmp_path, "scam.yaml", policy="scam", en="{templates: ['scan this'], benign: ['scan this']}")
    with pytest.raises(PhraseError, match=r"'scan this' is written both as ordinary and as scam"):
        read_phrases(tmp_path)


def test_templates_of_two_files_of_one_policy_are_told_apart(tmp_path: Path) -> None:
    _write(tmp_path, "scam.yaml", policy="scam", en="{templates: ['send money', 'add me']}")
    _write(tmp_path, "scam_chat.yaml", policy="scam", en="{templates: ['scan this']}")
    turns = {phrase.text: phrase.turn for phrase in read_phrases(tmp_path) if phrase.language == "en"}
    assert sorted(turns.values()) == [0, 1, 2]


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


def test_every_policy_stands_beside_look_alikes_in_the_same_words(shipped: tuple[Phrase, ...]) -> None:
    for policy in POLICY_IDS:
        content = yaml.load((SHIPPED / f"{policy}_chat.yaml").read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        assert all(len(content[language]["benign"]) >= 6 for language in ("zh", "en", "es", "others")), policy


def test_no_held_out_line_is_a_training_line_in_other_clothes(shipped: tuple[Phrase, ...]) -> None:
    lines_with = {2: defaultdict[str, list[int]](list), 4: defaultdict[str, list[int]](list)}
    for at, phrase in enumerate(shipped):
        for piece in _pieces(phrase.text, phrase.language):
            lines_with[_length(phrase.language)][piece].append(at)
    for line in read_held_out(SHIPPED / "heldout.jsonl"):
        pieces = _pieces(line.text, line.language)
        shared = Counter(at for piece in pieces for at in lines_with[_length(line.language)].get(piece, ()))
        likeness = max(shared.values(), default=0) / len(pieces)
        assert likeness < 0.65, line.text


def test_held_out_lines_know_only_policies_that_exist() -> None:
    lines = read_held_out(SHIPPED / "heldout.jsonl")
    assert len(lines) >= 150
    assert all(set(line.known) == set(POLICY_IDS) for line in lines)
    assert {line.language for line in lines} == {"zh", "en", "es"}


def _write(folder: Path, name: str, *, policy: str, en: str) -> None:
    """A phrase file whose other languages have one line each, of their own."""
    other = {language: f"{{templates: ['{name} {language}']}}" for language in ("zh", "es", "others")}
    parts = "".join(f"{language}: {part}\n" for language, part in ({"en": en} | other).items())
    (folder / name).write_text(f"policy: {policy}\nunknown: [gambling]\n{parts}")


def _length(language: str) -> int:
    return 2 if language == "zh" else 4


def _pieces(text: str, language: str) -> frozenset[str]:
    """Pairs of Han characters, or stretches of four letters."""
    letters = "".join(character for character in text.lower() if character.isalnum())
    length = _length(language)
    return frozenset(letters[at : at + length] for at in range(max(1, len(letters) - length + 1)))
