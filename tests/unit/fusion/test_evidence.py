from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.cards import Calibration, Label
from pipelines.fusion import UnknownCheckpoint, evidence_of
from pipelines.items import CheckpointRef
from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.record import Evidence, FrameObservation, Observations, TextObservation, TextSource

POLICIES = read_policies(POLICIES_FILE)
CHECKPOINTS = {
    "vision.nudity": CheckpointRef(id="open-nsfw", digest="a" * 64, session="torch"),
    "vision.objects": CheckpointRef(id="objects", digest="b" * 64, session="torch"),
    "text.risk": CheckpointRef(id="risk", digest="c" * 64, session="torch"),
    "speech": CheckpointRef(id="whisper", digest="d" * 64, session="ctranslate2"),
}
LABELS: Mapping[str, Mapping[str, Label]] = {
    "open-nsfw": {"nsfw": Label(policies=("sexual",)), "sfw": Label()},
    "objects": {
        "nude": Label(policies=("sexual",)),
        "rifle": Label(policies=("weapons", "violence")),
        "pistol": Label(policies=("weapons",), calibration=Calibration(intercept=-1.0)),
    },
    "risk": {"scam": Label(policies=("scam",)), "hate": Label(policies=("hate",))},
}


def text(
    score: float, *users: str, source: TextSource = "chat", sure: float = 1.0, repeats: int = 1
) -> TextObservation:
    return TextObservation(
        source=source,
        at_s=4.0,
        text="Add Me",
        normalised="add me",
        confidence=sure,
        users=users,
        repeats=repeats,
        scores={"text.risk": {"scam": score}},
    )


def evidence(*observed: FrameObservation | TextObservation) -> Mapping[str, tuple[Evidence, ...]]:
    observations = Observations(
        frames=tuple(item for item in observed if isinstance(item, FrameObservation)),
        texts=tuple(item for item in observed if isinstance(item, TextObservation)),
        coverage={},
        checkpoints=CHECKPOINTS,
    )
    return evidence_of(observations, LABELS, POLICIES)


def test_a_frame_speaks_for_every_policy_of_its_labels() -> None:
    found = evidence(FrameObservation(at_s=2, scores={"vision.objects": {"rifle": 0.9}}))
    assert {policy: [item.probability for item in items] for policy, items in found.items()} == {
        "weapons": [0.9],
        "violence": [0.9],
    }


def test_the_calibration_of_the_card_makes_scores_probabilities() -> None:
    (item,) = evidence(FrameObservation(at_s=2, scores={"vision.objects": {"pistol": 0.5}}))["weapons"]
    assert item.probability == pytest.approx(0.2689, abs=1e-4)


def test_of_several_labels_for_one_policy_the_strongest_after_calibration_speaks() -> None:
    (item,) = evidence(FrameObservation(at_s=2, scores={"vision.objects": {"rifle": 0.6, "pistol": 0.7}}))["weapons"]
    assert (item.label, item.probability) == ("vision.objects/rifle", 0.6)


def test_of_several_slots_for_one_policy_the_strongest_speaks() -> None:
    scores = {"vision.nudity": {"nsfw": 0.2, "sfw": 0.8}, "vision.objects": {"nude": 0.7}}
    (item,) = evidence(FrameObservation(at_s=2, scores=scores))["sexual"]
    assert (item.label, item.probability) == ("vision.objects/nude", 0.7)


def test_a_label_that_means_no_policy_is_no_evidence() -> None:
    assert evidence(FrameObservation(at_s=2, scores={"vision.nudity": {"sfw": 0.99, "unheard of": 0.99}})) == {}


def test_calm_frames_are_evidence_too() -> None:
    calm = [FrameObservation(at_s=at, scores={"vision.nudity": {"nsfw": 0.001}}) for at in (0, 2, 4)]
    assert [item.frame for item in evidence(*calm)["sexual"]] == [0, 1, 2]


def test_text_keeps_its_words_its_source_and_how_sure_its_recogniser_was() -> None:
    (item,) = evidence(text(0.8, source="speech", sure=0.6))["scam"]
    assert (item.modality, item.text, item.weight, item.label) == ("speech", "Add Me", 0.6, "text.risk/scam")


def test_a_banner_names_the_frame_it_was_read_from() -> None:
    frames = [FrameObservation(at_s=at) for at in (2.0, 4.0)]
    (item,) = evidence(*frames, text(0.8, source="screen", repeats=2))["scam"]
    assert (item.frame, item.repeats) == (1, 2)


def test_lines_pasted_by_one_user_count_that_user_once() -> None:
    (item,) = evidence(text(0.8, "ann", repeats=40))["scam"]
    assert (item.users, item.repeats) == (1, 40)


def test_a_user_with_several_lines_counts_at_the_strongest() -> None:
    items = evidence(text(0.5, "ann", "bob"), text(0.9, "ann"), text(0.2, "ann", "cem"))["scam"]
    assert [item.users for item in items] == [1, 1, 1]


def test_a_text_whose_slot_failed_is_no_evidence() -> None:
    failed = TextObservation(source="chat", at_s=1, text="x", normalised="x", error="RuntimeError")
    assert evidence(failed) == {}


def test_scores_without_a_card_are_refused_rather_than_left_out() -> None:
    observations = Observations(
        frames=(FrameObservation(at_s=0, scores={"vision.nudity": {"nsfw": 0.9}}),),
        coverage={},
        checkpoints=CHECKPOINTS,
    )
    with pytest.raises(UnknownCheckpoint, match=r"vision\.nudity: no model card for open-nsfw"):
        evidence_of(observations, {}, POLICIES)


def test_scores_of_a_slot_without_checkpoint_are_refused() -> None:
    observations = Observations(
        frames=(FrameObservation(at_s=0, scores={"vision.gore": {"gore": 0.9}}),), coverage={}, checkpoints=CHECKPOINTS
    )
    with pytest.raises(UnknownCheckpoint, match=r"vision\.gore: scored, but the record names no checkpoint"):
        evidence_of(observations, LABELS, POLICIES)
