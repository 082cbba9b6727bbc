from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.fusion import History, fuse, instants
from pipelines.fusion.history import Past, past, step
from pipelines.policies import Fusion, Persistence
from pipelines.record import Evidence, Verdict
from tests.evidence import NOON, PLAIN, SEEN, SEGMENT_S, UNHURRIED, chat, covered, policies, said, verdict

SEGMENTS = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def segment(number: int, probability: float, history: History) -> tuple[Verdict, ...]:
    """The verdicts of the stream's segment of that number, whose only chat line has this probability for scam."""
    return fuse({"scam": [chat(probability)]}, SEEN, policies(), at=NOON + number * SEGMENT_S, history=history)


def final(probabilities: list[float], order: list[int]) -> list[tuple[Verdict, ...]]:
    """Verdicts of every segment once all have arrived in `order`, in which segments may be repeated."""
    history: dict[float, dict[str, float]] = {}
    for number in order:
        history[NOON + number * SEGMENT_S] = instants(segment(number, probabilities[number], history))
    return [segment(number, probability, history) for number, probability in enumerate(probabilities)]


@UNHURRIED
@given(SEGMENTS, st.data())
def test_any_order_and_repetition_of_segments_ends_in_the_verdicts_of_the_right_order(
    probabilities: list[float], data: st.DataObject
) -> None:
    in_order = list(range(len(probabilities)))
    repeated = data.draw(st.lists(st.sampled_from(in_order), max_size=4))
    order = data.draw(st.permutations(in_order + repeated))
    assert final(probabilities, order) == final(probabilities, in_order)


@UNHURRIED
@given(SEGMENTS)
def test_in_order_every_verdict_is_already_the_final_one(probabilities: list[float]) -> None:
    history: dict[float, dict[str, float]] = {}
    live = []
    for number, probability in enumerate(probabilities):
        verdicts = segment(number, probability, history)
        history[NOON + number * SEGMENT_S] = instants(verdicts)
        live.append(verdicts)
    assert live == final(probabilities, list(range(len(probabilities))))


def test_a_segment_examined_again_is_not_its_own_past() -> None:
    kept_in_milliseconds = {NOON: {"scam": 0.9}}
    again = fuse({"scam": [chat(0.9)]}, SEEN, policies(), at=NOON + 0.0004, history=kept_in_milliseconds)
    assert again == fuse({"scam": [chat(0.9)]}, SEEN, policies(), at=NOON, history={})


def test_an_earlier_segment_fades_by_its_half_life() -> None:
    now = verdict(earlier=[0.9])
    whole, prior = _log_odds(0.9), _log_odds(PLAIN.prior)
    assert _log_odds(now.probability) == pytest.approx(prior + (whole - prior) / 2, abs=0.01)
    assert now.instant == PLAIN.prior


def test_doubtful_segments_in_a_row_do_not_add_up_to_certainty() -> None:
    assert verdict(chat(0.5), earlier=[0.5] * 20).probability == 0.5


def test_the_stronger_of_now_and_before_is_the_verdict() -> None:
    assert verdict(chat(0.7), earlier=[0.6]).probability == 0.7
    assert verdict(chat(0.1), earlier=[0.9]).probability > 0.1


def test_one_segment_at_act_is_reviewed() -> None:
    first = verdict(chat(0.9))
    assert (first.severity, first.action) == ("high", "review")
    assert (
        first.because == "chat alone reached 0.9 ≥ act 0.85; 1 of the last 6 segments at review or above, act needs 2"
    )


def test_a_second_hit_among_the_last_segments_makes_it_act() -> None:
    second = verdict(chat(0.9), earlier=[0.65, 0.02, 0.02, 0.02, 0.02])
    assert second.action == "act"
    assert second.because == "chat alone reached 0.9 ≥ act 0.85; 2 of the last 6 segments at review or above"


def test_a_hit_longer_ago_no_longer_counts() -> None:
    assert verdict(chat(0.9), earlier=[0.65, 0.02, 0.02, 0.02, 0.02, 0.02]).action == "review"


def test_a_severe_segment_acts_alone() -> None:
    severe = verdict(chat(0.98))
    assert severe.action == "act"
    assert severe.because == "chat alone reached 0.98 ≥ severe 0.97"


def test_a_raised_verdict_stays_until_it_falls_well_below_its_threshold() -> None:
    assert verdict(chat(0.55), earlier=[0.02]).severity == "low"
    held = verdict(chat(0.55), earlier=[0.65])
    assert (held.severity, held.action) == ("medium", "review")
    assert held.because == "held by hysteresis: 0.55 is at most 0.1 below review 0.6"
    assert verdict(chat(0.49), earlier=[0.65]).severity == "low"


def test_what_hysteresis_holds_is_held_through_several_segments() -> None:
    assert verdict(chat(0.55), earlier=[0.65, 0.55, 0.52, 0.58]).severity == "medium"
    assert verdict(chat(0.55), earlier=[0.65, 0.55, 0.3, 0.58]).severity == "low"


def test_acting_goes_on_while_the_severity_stays() -> None:
    going_on = verdict(chat(0.8), earlier=[0.98])
    assert going_on.action == "act"
    assert verdict(chat(0.8), earlier=[0.9]).severity == "high"


def test_earlier_segments_are_named_when_they_carry_the_verdict() -> None:
    assert verdict(earlier=[0.95]).because == "carried over from earlier segments: 0.3837 ≥ watch 0.3"


def test_a_pause_longer_than_the_window_forgets() -> None:
    history = {NOON - 301: {"scam": 0.9999}}
    (now,) = (v for v in fuse({}, SEEN, policies(), at=NOON, history=history) if v.policy == "scam")
    assert now.severity == "none"


def test_a_deep_look_remembers_further_back() -> None:
    calls_for_long = policies(PLAIN.model_copy(update={"persistence": Persistence(half_life_s=300)}))
    history = {NOON - 301: {"scam": 0.9999}}
    window_s = calls_for_long.fusion.lookback_s("deep")
    far = fuse({}, SEEN, calls_for_long, at=NOON, history=history, window_s=window_s)
    assert next(v for v in far if v.policy == "scam").severity == "high"


def test_a_deep_window_shorter_than_the_live_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="deep_window_s must be window_s or more"):
        Fusion(window_s=600, deep_window_s=599)


def test_segments_to_come_do_not_matter() -> None:
    assert fuse({}, SEEN, policies(), at=NOON, history={NOON + 10: {"scam": 0.99}}) == fuse(
        {}, SEEN, policies(), at=NOON, history={}
    )


def test_a_segment_that_nobody_could_examine_leaves_no_entry_that_would_calm() -> None:
    unseen = covered(frames="deadline", speech="deadline", screen="deadline", chat="deadline")
    assert instants(fuse({}, unseen, policies(), at=NOON, history={})) == {}
    assert verdict(chat(0.55), earlier=[0.65, None]).severity == "medium"
    assert verdict(chat(0.55), earlier=[0.65, 0.02]).severity == "low"


def test_what_was_found_is_kept_even_where_coverage_says_nothing_was_examined() -> None:
    unseen = covered(frames="deadline", speech="deadline", screen="deadline", chat="deadline")
    hit: Evidence = said("a rule", 0.9)
    assert instants(fuse({"scam": [hit]}, unseen, policies(), at=NOON, history={})) == {"scam": 0.9}


def _log_odds(probability: float) -> float:
    return log(probability / (1 - probability))


@UNHURRIED
@given(st.lists(st.one_of(st.floats(0, 0.03), st.floats(0, 1)), max_size=12))
def test_calm_segments_are_passed_over_without_a_difference(instants_before: list[float]) -> None:
    slow = Past()
    for number, probability in enumerate(instants_before):
        slow, _ = step(slow, NOON + number * SEGMENT_S, probability, PLAIN)
    before = {NOON + number * SEGMENT_S: {"scam": one} for number, one in enumerate(instants_before)}
    assert past("scam", PLAIN, before) == slow
