from __future__ import annotations

import pytest

from pipelines.coverage import HARMLESS, REASONS
from pipelines.policies import Fusion
from pipelines.record import Coverage
from tests.evidence import SEEN, chat, covered, verdict

NOTHING_THERE = covered(frames="no_input", speech="silence", screen="no_input", chat="no_input")


def test_a_missing_modality_is_named_with_its_reason() -> None:
    now = verdict(chat(0.02), coverage=covered(speech="model_failed"))
    assert (now.examined, now.missing) == ("partly", {"speech": "model_failed"})
    assert now.because == "0.02 is below watch 0.3; not examined: speech (model_failed)"


def test_a_modality_seen_in_part_is_named_with_its_reason() -> None:
    now = verdict(chat(0.02), coverage=covered(frames="partly:deadline"))
    assert (now.examined, now.action, now.missing) == ("partly", "allow", {"frames": "deadline"})
    assert now.because == "0.02 is below watch 0.3; partly examined: frames (deadline)"


def test_a_verdict_without_its_heaviest_modality_is_not_allowed() -> None:
    now = verdict(coverage=covered(chat="missing_object"))
    assert (now.examined, now.severity, now.action) == ("partly", "none", "watch")
    assert now.because == "watch at least, because not examined: chat (missing_object); 0.02 is below watch 0.3"


def test_the_heaviest_modality_seen_in_part_is_enough_to_allow() -> None:
    assert verdict(coverage=covered(chat="partly:shed")).action == "allow"


def test_nothing_examined_is_not_allowed() -> None:
    now = verdict(coverage=covered(frames="crashed", speech="crashed", screen="crashed", chat="no_input"))
    assert (now.examined, now.action) == ("not", "watch")
    assert now.because.startswith("watch at least, because not examined: frames (crashed)")


def test_what_an_unexamined_verdict_is_raised_to_is_a_setting() -> None:
    unseen = covered(chat="shed")
    assert verdict(coverage=unseen, fusion=Fusion(unexamined_action="review")).action == "review"


def test_evidence_outweighs_what_is_missing() -> None:
    now = verdict(chat(0.98), coverage=covered(speech="deadline", screen="deadline"))
    assert now.action == "act"
    assert now.because.endswith("not examined: speech (deadline), screen (deadline)")


def test_nothing_to_examine_is_no_failure_but_does_not_read_as_clean() -> None:
    now = verdict(coverage=NOTHING_THERE)
    assert (now.examined, now.action, now.missing) == ("not", "allow", {})
    assert now.because == "nothing to examine: frames (no_input), speech (silence), screen (no_input), chat (no_input)"


def test_nobody_speaking_and_no_chat_leave_frames_a_whole_verdict() -> None:
    now = verdict(coverage=covered(speech="silence", chat="no_input"))
    assert (now.examined, now.missing, now.action) == ("examined", {}, "allow")


def test_no_input_reads_the_same_under_any_status() -> None:
    examined_nothing = {modality: Coverage(status="examined", reason="no_input") for modality in SEEN}
    assert verdict(coverage=examined_nothing).examined == "not"


def test_a_modality_that_nobody_reported_on_was_not_examined() -> None:
    now = verdict(coverage={"frames": SEEN["frames"], "speech": SEEN["speech"], "screen": SEEN["screen"]})
    assert (now.missing, now.action) == ({"chat": "no_model"}, "watch")


@pytest.mark.parametrize("reason", sorted(REASONS - HARMLESS))
def test_no_failure_of_everything_is_allowed(reason: str) -> None:
    now = verdict(coverage=covered(frames=reason, speech=reason, screen=reason, chat=reason))
    assert (now.action, now.examined) == ("watch", "not")
