"""Which stages of a segment run again, and which slots that asks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipelines.policies import read_policies
from pipelines.record import Modality, Stage
from tests.records import START
from workers.config import load_config
from workers.runs.condition import WrongSelection
from workers.runs.planning import RescanOrder, Tally, Target, stages_of, target_of
from workers.runs.selection import Chosen

TODAY = {"vision.nudity": "a" * 64, "speech": "b" * 64, "ocr": "c" * 64, "text.risk": "d" * 64, "lexicon": "9" * 64}
POLICIES = read_policies()
OTHER = "f" * 64
DEEP = {"speech": "e" * 64}


def segment(
    checkpoints: Mapping[str, str] = TODAY,
    *,
    without: frozenset[Modality] = frozenset(),
    cut_short: frozenset[Stage] = frozenset(),
    has_texts: bool = True,
    stage_ms: Mapping[str, float] | None = None,
) -> Chosen:
    return Chosen(
        key="records/date=2026-03-10/stream=room-1/s/live.json",
        stream_id="room-1",
        segment_id="s",
        captured_at=START,
        checkpoints=checkpoints,
        policy_digest=POLICIES.digest,
        without_input=without,
        cut_short=cut_short,
        has_texts=has_texts,
        stage_ms=stage_ms or {},
    )


def target(*, full: bool = False, reuse: bool = False, screen_text: bool = True) -> Target:
    return Target(POLICIES, TODAY, DEEP, full=full, reuse=reuse, screen_text=screen_text)


@pytest.mark.parametrize(
    ("changed", "stages"),
    [
        ({}, ()),
        ({"vision.nudity": OTHER}, ("frames",)),
        ({"speech": OTHER}, ("speech",)),
        ({"ocr": OTHER}, ("screen",)),
        ({"text.risk": OTHER}, ("text",)),
        ({"lexicon": OTHER}, ("text",)),
        ({"vision.nudity": OTHER, "text.risk": OTHER}, ("frames", "text")),
    ],
)
def test_only_stages_whose_checkpoint_changed_run_again(changed: dict[str, str], stages: tuple[Stage, ...]) -> None:
    assert stages_of(segment({**TODAY, **changed}), target()) == stages


def test_what_a_deep_checkpoint_of_today_said_is_not_said_again_by_the_lighter_one() -> None:
    assert stages_of(segment({**TODAY, **DEEP}), target()) == ()


def test_a_slot_that_the_record_does_not_know_runs_and_one_that_is_gone_does_not() -> None:
    assert stages_of(segment({slot: TODAY[slot] for slot in ("speech", "ocr", "text.risk", "lexicon")}), target()) == (
        "frames",
    )
    assert stages_of(segment({**TODAY, "vision.gore": OTHER}), target()) == ()


def test_full_runs_every_stage_that_has_something_to_look_at() -> None:
    assert stages_of(segment(), target(full=True)) == ("frames", "speech", "screen", "text")
    assert stages_of(segment(without=frozenset({"speech"})), target(full=True)) == ("frames", "screen", "text")
    assert stages_of(segment(without=frozenset({"frames"}), has_texts=False), target(full=True)) == ("speech",)
    assert stages_of(segment(), target(full=True, screen_text=False)) == ("frames", "speech", "text")


def test_what_was_cut_short_runs_again_with_the_same_checkpoint() -> None:
    shed = frozenset[Stage]({"speech", "text"})
    assert stages_of(segment(cut_short=shed), target()) == ("speech", "text")
    assert stages_of(segment(cut_short=shed, has_texts=False), target()) == ("speech",)
    assert stages_of(segment(cut_short=shed), target(reuse=True)) == ()


def test_reuse_runs_nothing() -> None:
    assert stages_of(segment({}), target(reuse=True)) == ()


def test_what_is_newly_heard_or_read_asks_the_text_slots_too() -> None:
    assert target().slots(["speech"]) == {"speech", "text.risk", "lexicon"}
    assert target().slots(["frames"]) == {"vision.nudity"}
    assert target().slots(["text"]) == {"text.risk", "lexicon"}
    assert target().slots([]) == frozenset()


def test_everything_and_nothing_at_once_is_refused() -> None:
    with pytest.raises(WrongSelection, match="not both"):
        target_of(load_config(environment={}), RescanOrder(full=True, reuse=True))


def test_an_estimate_is_what_the_records_measured() -> None:
    tally, config = Tally(), load_config(environment={})
    measured = {"fetch": 100.0, "frames": 400.0, "speech": 2000.0, "screen": 500.0, "chat": 100.0}
    for stage_ms in (measured, measured, {}):
        one = segment({}, stage_ms=stage_ms)
        tally.add(one, stages_of(one, target()), target())
    found = tally.estimate(config)
    assert found is not None
    assert found.sampled == 2
    assert found.engine_s == pytest.approx(3 * 3.0)
    assert found.wall_s == pytest.approx((9.0 + 3 * 0.1) / config.worker.concurrency + 3 * 0.025, abs=0.01)


def test_records_that_measured_nothing_give_no_estimate() -> None:
    tally = Tally()
    tally.add(segment({}), ("frames",), target())
    assert tally.estimate(load_config(environment={})) is None


def test_a_segment_whose_models_and_policies_are_the_same_is_counted_as_unchanged() -> None:
    tally = Tally()
    for one in (segment(), segment({})):
        tally.add(one, stages_of(one, target()), target())
    assert (tally.segments, tally.again, tally.unchanged) == (2, 1, 1)
