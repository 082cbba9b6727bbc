"""What the shipped policies are meant to do, as an analyst would put it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipelines.fusion import fuse
from pipelines.policies import POLICY_IDS, read_policies
from pipelines.record import Evidence, Verdict
from tests.evidence import NOON, SEEN, chat, covered, frames, said


def judged(policy: str, *items: Evidence) -> Verdict:
    verdicts = fuse({policy: items}, SEEN, read_policies(), at=NOON, history={})
    return next(verdict for verdict in verdicts if verdict.policy == policy)


def test_one_unmistakable_chat_line_of_distress_is_reviewed_at_once() -> None:
    assert judged("self_harm", chat(0.9)).action == "review"


def test_child_safety_listens_to_chat_and_speech_alike() -> None:
    assert judged("minor_safety", chat(0.5)).action == judged("minor_safety", said("speech", 0.5)).action == "review"


def test_lewd_chat_alone_weighs_less_than_what_is_shown() -> None:
    assert judged("sexual", chat(0.9)).severity == "low"
    assert judged("sexual", *frames(0.9, 0.9, 0.9, 0.02, 0.02)).severity == "high"


@pytest.mark.parametrize("source", ["chat", "screen", "speech"])
def test_a_scam_is_reviewed_wherever_it_is_pushed(source: str) -> None:
    assert judged("scam", said(source, 0.8)).action == "review"


def test_a_scam_in_chat_and_on_screen_is_more_than_either() -> None:
    line, banner = chat(0.7), said("screen", 0.7)
    single = max(judged("scam", line).probability, judged("scam", banner).probability)
    assert judged("scam", line, banner).probability > single


def test_doubt_in_two_modalities_is_watched_and_not_yet_reviewed() -> None:
    assert judged("scam", chat(0.3), said("speech", 0.3)).action == "watch"


@pytest.mark.parametrize("policy", POLICY_IDS)
def test_whatever_is_certain_in_its_heaviest_modality_acts_alone(policy: str) -> None:
    weights = read_policies().policies[policy].weights
    heaviest = max(weights, key=lambda modality: weights[modality])
    certain: Sequence[Evidence] = frames(0.999) if heaviest == "frames" else [said(heaviest, 0.999)]
    assert judged(policy, *certain).action == "act"


@pytest.mark.parametrize("policy", POLICY_IDS)
def test_benign_noise_is_allowed(policy: str) -> None:
    noise = [*frames(0.05, 0.1, 0.02), chat(0.1), chat(0.05), said("speech", 0.08), said("screen", 0.05)]
    assert judged(policy, *noise).action == "allow"


def test_no_policy_allows_a_segment_that_could_not_be_examined() -> None:
    unseen = covered(frames="undecodable", speech="deadline", screen="deadline", chat="missing_object")
    verdicts = fuse({}, unseen, read_policies(), at=NOON, history={})
    assert {(verdict.action, verdict.examined) for verdict in verdicts} == {("watch", "not")}
