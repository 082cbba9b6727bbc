"""What is refused: files that can carry code, files nobody pinned, cards that say less than they must."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipelines.checkpoints import CheckpointError, Lock, ensure, verify
from pipelines.checkpoints.verification import slot_findings, unspoken
from pipelines.sessions.adapter import ADAPTER_FILES
from tests.checkpoints import FILES, Cards, pins, write_files


def findings(cards: Cards, models: Path, content: dict[str, bytes], **fields: Any) -> list[str]:
    folder = write_files(models / "tiny", content)
    return [str(found) for found in verify(cards.card(**fields), folder, Lock(cards.directory / "lock.json"))]


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps([1]))
    return content.getvalue()


def test_a_whole_checkpoint_has_no_findings(cards: Cards, models: Path) -> None:
    assert findings(cards, models, FILES, files=pins()) == []


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl", "modeling.py", "run.sh", "model.bin"])
def test_a_file_that_can_carry_code_is_refused(cards: Cards, models: Path, name: str) -> None:
    files = {**FILES, name: b"content"}
    assert any(line.startswith(f"{name}: is not an allowed kind") for line in findings(cards, models, files))


@pytest.mark.parametrize("content", [pickle.dumps([1]), zipped()], ids=["pickle", "zip"])
def test_a_pickle_under_another_name_is_refused(cards: Cards, models: Path, content: bytes) -> None:
    files = {**FILES, "model.onnx": content, "model.safetensors": content}
    found = findings(cards, models, files)
    assert "model.onnx: is a pickle under another name" in found
    assert "model.safetensors: is not a safetensors file" in found


def test_a_safetensors_header_as_long_as_a_pickles_first_bytes_is_no_pickle(cards: Cards, models: Path) -> None:
    header = b"{}".ljust(0x0280)
    files = {**FILES, "model.safetensors": len(header).to_bytes(8, "little") + header}
    assert files["model.safetensors"].startswith(b"\x80\x02")
    assert findings(cards, models, files) == []


def test_a_pickle_in_a_source_ends_the_pull_in_one_line(cards: Cards, models: Path) -> None:
    cards.finished({**FILES, "pytorch_model.bin": pickle.dumps([1])})
    with pytest.raises(CheckpointError, match=r"^tiny: [^\n]*pytorch_model\.bin: is not an allowed kind[^\n]*$"):
        ensure(cards.card(), models)


def test_a_symbolic_link_is_refused(cards: Cards, models: Path) -> None:
    source = cards.finished({"config.json": FILES["config.json"]})
    (source / "model.safetensors").symlink_to("/etc/hostname")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is a symbolic link"):
        ensure(cards.card(), models)


def test_a_link_to_a_folder_is_refused(cards: Cards, models: Path) -> None:
    (cards.finished() / "more").symlink_to("/etc")
    with pytest.raises(CheckpointError, match="more: is a symbolic link"):
        ensure(cards.card(), models)


def test_a_missing_file_is_named(cards: Cards, models: Path) -> None:
    files = {"config.json": FILES["config.json"]}
    assert "model.safetensors: is missing" in findings(cards, models, files, files=pins())


def test_a_file_that_nobody_pinned_is_named(cards: Cards, models: Path) -> None:
    files = {**FILES, "more.json": b"{}"}
    assert findings(cards, models, files, files=pins()) == ["more.json: is not among the pinned files"]


def test_a_session_without_its_weights_is_named(cards: Cards, models: Path) -> None:
    assert findings(cards, models, FILES, sessions=["torch", "onnx-int8"]) == [
        "*.int8.onnx: is missing, and onnx-int8 needs it"
    ]


def test_a_label_that_the_checkpoint_lacks_is_named(cards: Cards, models: Path) -> None:
    labels = {"porn": {"policies": ["sexual"]}, "normal": {}, "nsfw": {}}
    assert findings(cards, models, FILES, labels=labels) == ["labels.porn: the checkpoint has no such label"]


def test_a_label_that_the_card_does_not_explain_is_named(cards: Cards, models: Path) -> None:
    assert findings(cards, models, FILES, labels={"nsfw": {"policies": ["sexual"]}}) == [
        "labels.normal: the checkpoint has this label and the card does not explain it"
    ]


def test_an_unknown_policy_is_refused_before_anything_is_got(cards: Cards, models: Path) -> None:
    card = cards.card(labels={"nsfw": {"policies": ["nudity"]}, "normal": {}})
    with pytest.raises(CheckpointError, match=r"^tiny: labels\.nsfw: no such policy: nudity$"):
        ensure(card, models)


def test_a_card_without_a_licence_is_refused(cards: Cards, models: Path) -> None:
    with pytest.raises(CheckpointError, match="license: is missing"):
        ensure(cards.card(licence=""), models)


def test_a_session_that_cannot_run_the_kind_is_refused(cards: Cards, models: Path) -> None:
    with pytest.raises(CheckpointError, match="sessions: ctranslate2 cannot run the kind image-classification"):
        ensure(cards.card(sessions=["ctranslate2"]), models)


def test_a_zero_shot_label_needs_prompts(cards: Cards, models: Path) -> None:
    card = cards.card(kind="zero-shot-image-classification")
    with pytest.raises(CheckpointError, match=r"labels\.\w+: a zero-shot label needs prompts"):
        ensure(card, models)


def test_a_missing_artefact_is_named(cards: Cards, models: Path) -> None:
    with pytest.raises(CheckpointError, match=r"head\.safetensors: the artefact is missing beside the card"):
        ensure(cards.card(artefacts=["head.safetensors"]), models)


def test_an_artefact_outside_the_cards_folder_is_refused(cards: Cards, models: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a path below the folder"):
        ensure(cards.card(artefacts=["../other/head.safetensors"]), models)


def head(labels: object) -> bytes:
    header = json.dumps({"__metadata__": {"labels": json.dumps(labels)}}).encode()
    return len(header).to_bytes(8, "little") + header


def test_a_head_with_other_labels_than_the_card_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(
        kind="embedding-head",
        artefacts=["head.safetensors"],
        labels={"scam": {"policies": ["scam"]}, "drugs": {"policies": ["drugs"]}},
    )
    write_files(card.folder, {"head.safetensors": head(["scam"])})
    with pytest.raises(CheckpointError, match=r"labels\.drugs: is only in the card"):
        ensure(card, models)


def test_a_head_that_names_no_labels_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(kind="embedding-head", artefacts=["head.safetensors"])
    write_files(card.folder, {"head.safetensors": b"\x02\0\0\0\0\0\0\0{}"})
    with pytest.raises(CheckpointError, match=r"head\.safetensors: is not a safetensors file that names its labels"):
        ensure(card, models)


def test_a_checkpoint_that_names_no_labels_is_refused(cards: Cards, models: Path) -> None:
    files = {**FILES, "config.json": b"{}"}
    assert findings(cards, models, files) == [
        "config.json: names no labels (id2label); give each label of the card its `row`"
    ]


def test_rows_of_the_card_name_the_labels_that_a_checkpoint_does_not(cards: Cards, models: Path) -> None:
    labels = {"nsfw": {"policies": ["sexual"], "row": 1}, "normal": {"row": 0}}
    assert findings(cards, models, {**FILES, "config.json": b"{}"}, labels=labels) == []


def test_an_adapter_among_the_base_s_files_is_refused(cards: Cards, models: Path) -> None:
    assert findings(cards, models, {**FILES, "adapter_config.json": b"{}"}) == [
        "adapter_config.json: an adapter lies beside the card, among its artefacts, not with the base"
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"artefacts": ["adapter_config.json"]}, "artefacts: name adapter_config.json alone"),
        ({"artefacts": [*ADAPTER_FILES], "sessions": ["torch", "onnx"]}, "sessions: an adapter runs on torch alone"),
        (
            {"artefacts": [*ADAPTER_FILES], "kind": "whisper", "labels": {}},
            "artefacts: the kind whisper takes no adapter",
        ),
    ],
)
def test_an_adapter_that_would_go_unused_is_refused(cards: Cards, fields: dict[str, Any], problem: str) -> None:
    card = cards.card(**fields)
    write_files(card.folder, dict.fromkeys(ADAPTER_FILES, FILES["model.safetensors"]))
    with pytest.raises(CheckpointError, match=problem):
        ensure(card, cards.directory / "models")


def test_a_pickled_adapter_is_refused(cards: Cards, models: Path) -> None:
    card = cards.card(artefacts=["adapter_model.bin"])
    write_files(card.folder, {"adapter_model.bin": pickle.dumps([1])})
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin: is not an allowed kind"):
        ensure(card, models)


def test_a_complete_card_may_go_into_its_slot(cards: Cards) -> None:
    assert slot_findings(cards.card(), "vision.nudity") == []


@pytest.mark.parametrize(
    ("slot", "fields", "problem"),
    [
        ("vision.scenes", {}, "slots: the card is for vision.nudity, not for vision.scenes"),
        ("text.risk", {"slots": ["text.risk"]}, "kind: image-classification cannot fill text.risk"),
        ("vision.nudity", {"labels": {"nsfw": {}, "normal": {}}}, "labels: none of them speaks for a policy"),
        ("vision.nudity", {"licence": ""}, "license: is missing; say under which terms the weights may be used"),
    ],
)
def test_a_card_that_does_not_fit_a_slot_is_told_why(
    cards: Cards, slot: str, fields: dict[str, Any], problem: str
) -> None:
    assert [str(found) for found in slot_findings(cards.card(**fields), slot)] == [problem]


def test_a_card_that_lacks_sections_must_not_be_swapped_in(cards: Cards) -> None:
    bare = cards.card().model_copy(update={"body": "# tiny\n\n## Summary\n\n## Data\n"})
    (found,) = slot_findings(bare, "vision.nudity")
    assert str(found) == "README.md: lacks the section 'Intended use' and 6 more"


def test_policies_that_no_label_speaks_for_are_named(cards: Cards) -> None:
    pictures = cards.card("one", labels={"nsfw": {"policies": ["sexual"]}, "normal": {}})
    lines = cards.card("two", labels={"lure": {"policies": ["scam", "minor_safety"]}})
    silent = unspoken([pictures, lines])
    assert not {"sexual", "scam", "minor_safety"} & set(silent)
    assert {"violence", "weapons", "gambling"} <= set(silent)
