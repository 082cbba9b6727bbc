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
    frames = Coverage(status="partly", reason="deadline", examined=4, total=5)
    now = verdict(chat(0.02), coverage={**SEEN, "frames": frames})
    assert (now.examined, now.action, now.missing) == ("partly", "allow", {"frames": "deadline"})
    assert now.because == "0.02 is below watch 0.3; partly examined: frames (deadline)"


def test_a_verdict_without_its_heaviest_modality_is_not_allowed() -> None:
    now = verdict(coverage=covered(chat="missing_object"))
    assert (now.examined, now.severity, now.action) == ("partly", "none", "watch")
    assert now.because == "watch at least, because not examined: chat (missing_object); 0.02 is below watch 0.3"


def seen_of_chat(examined: float, *, received: float = 1) -> Coverage:
    return Coverage(status="partly", reason="model_failed", examined=examined, total=100, received=received)


def test_half_of_the_heaviest_modality_is_enough_to_allow() -> None:
    assert verdict(coverage={**SEEN, "chat": seen_of_chat(50)}).action == "allow"


@pytest.mark.parametrize("coverage", [seen_of_chat(1), seen_of_chat(49), seen_of_chat(98, received=0.5)])
def test_less_than_half_of_the_heaviest_modality_is_not_allowed(coverage: Coverage) -> None:
    now = verdict(coverage={**SEEN, "chat": coverage})
    assert (now.examined, now.severity, now.action) == ("partly", "none", "watch")
    assert now.missing == {"chat": "model_failed"}
    assert now.because == "watch at least, because hardly examined: chat (model_failed); 0.02 is below watch 0.3"


def test_hardly_anything_of_every_modality_is_not_allowed_but_was_looked_at() -> None:
    now = verdict(coverage=covered(frames="gap", speech="gap", screen="gap", chat="partly:gap"))
    assert (now.examined, now.action) == ("partly", "watch")
    assert now.because.startswith(
        "watch at least, because not examined: frames (gap), speech (gap), screen (gap), hardly examined: chat (gap)"
    )


def test_hardly_anything_of_the_only_modality_that_had_something_is_not_allowed() -> None:
    there = Coverage(status="partly", reason="model_failed", examined=1, total=100)
    now = verdict(coverage={**NOTHING_THERE, "frames": there})
    assert (now.examined, now.action) == ("partly", "watch")


def test_a_gap_over_everything_that_was_not_empty_is_not_allowed() -> None:
    lost = Coverage(status="partly", reason="gap", received=0.02)
    assert verdict(coverage={**SEEN, "chat": lost}).action == "watch"


def test_a_lighter_modality_that_was_hardly_examined_is_said_and_allowed() -> None:
    now = verdict(coverage=covered(frames="partly:deadline"))
    assert (now.action, now.because) == ("allow", "0.02 is below watch 0.3; hardly examined: frames (deadline)")


def test_nothing_examined_is_not_allowed() -> None:
    now = verdict(coverage=covered(frames="deadline", speech="deadline", screen="deadline", chat="no_input"))
    assert (now.examined, now.action) == ("not", "watch")
    assert now.because.startswith("watch at least, because not examined: frames (deadline)")


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
