from __future__ import annotations

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fusion import fuse
from pipelines.policies import POLICY_IDS, Fusion
from pipelines.record import ACTIONS, MODALITIES, SEVERITIES, Evidence, Verdict
from tests.evidence import (
    NOON,
    PLAIN,
    SEEN,
    SEGMENT_S,
    UNHURRIED,
    chat,
    covered,
    frame,
    frames,
    policies,
    said,
    verdict,
)

ITEM = st.builds(
    lambda source, probability, index: (
        frame(probability, index) if source == "frames" else said(source, probability, users=index)
    ),
    st.sampled_from([*MODALITIES, "a rule", "a bank"]),
    st.floats(0, 1),
    st.integers(0, 9),
)
ITEMS = st.lists(ITEM, min_size=1, max_size=8)
EARLIER = st.lists(st.none() | st.floats(0, 1), max_size=8)
REASONS = st.dictionaries(
    st.sampled_from(MODALITIES), st.sampled_from(["deadline", "partly:shed", "no_input", "model_failed"])
)


def test_there_are_always_twelve_verdicts_in_the_order_of_the_policies() -> None:
    verdicts = fuse({}, SEEN, policies(), at=NOON, history={})
    assert tuple(verdict.policy for verdict in verdicts) == POLICY_IDS
    assert {(v.severity, v.action, v.examined, v.probability) for v in verdicts} == {
        ("none", "allow", "examined", PLAIN.prior)
    }


@pytest.mark.parametrize(
    ("probability", "severity", "action"),
    [
        (0.29, "none", "allow"),
        (0.3, "low", "watch"),
        (0.6, "medium", "review"),
        (0.85, "high", "review"),
        (0.97, "high", "act"),
    ],
)
def test_severity_and_action_follow_the_thresholds(probability: float, severity: str, action: str) -> None:
    now = verdict(chat(probability))
    assert (now.severity, now.action) == (severity, action)


def test_a_modality_of_weight_one_alone_gives_its_own_probability() -> None:
    assert verdict(chat(0.7)).probability == 0.7


def test_a_lighter_modality_moves_the_verdict_less() -> None:
    assert PLAIN.prior < verdict(frame(0.7)).probability < 0.7


def test_a_second_modality_corroborates_and_a_third_adds_nothing() -> None:
    one = verdict(chat(0.6)).probability
    two = verdict(chat(0.6), said("speech", 0.6)).probability
    three = verdict(chat(0.6), said("speech", 0.6), frame(0.6)).probability
    assert one < two == three


def test_a_calm_modality_does_not_lower_the_verdict() -> None:
    assert verdict(chat(0.7), said("speech", 0.001), *frames(0.001, 0.001)).probability == 0.7


def test_the_log_odds_of_contributions_lead_from_the_prior_to_the_instant_probability() -> None:
    now = verdict(chat(0.6), said("speech", 0.5), frame(0.4))
    assert [part.modality for part in now.contributions] == ["chat", "speech", "frames"]
    total = log(PLAIN.prior / (1 - PLAIN.prior)) + sum(part.log_odds for part in now.contributions)
    assert 1 / (1 + exp(-total)) == pytest.approx(now.instant, abs=1e-4)


def test_a_source_that_fusion_has_never_heard_of_counts_with_the_default_weight() -> None:
    assert verdict(said("a rule", 0.9)).probability == 0.9
    assert verdict(said("a rule", 0.9), fusion=Fusion(default_weight=0.0)).contributions == ()


def test_a_modality_that_the_policy_does_without_is_left_out() -> None:
    deaf = PLAIN.model_copy(update={"weights": {**PLAIN.weights, "speech": 0.0}})
    now = verdict(said("speech", 0.99), policy=deaf, coverage=covered(speech="no_model"))
    assert (now.contributions, now.evidence, now.missing, now.severity) == ((), (), {}, "none")


def test_the_counterfactual_says_what_a_verdict_would_be_without_each_modality() -> None:
    assert verdict(chat(0.95), said("speech", 0.5)).without == {"chat": "low"}


def test_the_counterfactual_leaves_earlier_segments_as_they_were() -> None:
    assert verdict(chat(0.7), earlier=[0.95]).without == {"chat": "low"}


@UNHURRIED
@given(ITEMS, EARLIER)
def test_the_counterfactual_is_the_severity_of_fusing_without_that_modality(
    items: list[Evidence], earlier: list[float | None]
) -> None:
    now = verdict(*items, earlier=earlier)
    for part in now.contributions:
        rest = verdict(*(item for item in items if item.modality != part.modality), earlier=earlier)
        assert now.without.get(part.modality, now.severity) == rest.severity


def test_modalities_that_disagree_are_shown() -> None:
    now = verdict(chat(0.97), said("speech", 0.01), *frames(0.003, 0.004))
    assert now.conflict == "chat 0.97 against frames 0.004, speech 0.01"
    assert now.probability == 0.97


def test_what_was_seen_only_in_part_does_not_speak_against() -> None:
    assert verdict(chat(0.97), frame(0.003), coverage=covered(frames="partly:deadline")).conflict is None


def test_a_modality_without_input_does_not_speak_against() -> None:
    assert verdict(chat(0.97), coverage=covered(frames="no_input", speech="silence")).conflict is None


def test_evidence_shows_the_best_of_every_modality_before_second_ones_of_any() -> None:
    now = verdict(chat(0.99), chat(0.98), chat(0.97), chat(0.96), chat(0.95), chat(0.94), frame(0.5))
    assert [(item.modality, item.probability) for item in now.evidence] == [
        ("chat", 0.99),
        ("chat", 0.98),
        ("chat", 0.97),
        ("chat", 0.96),
        ("frames", 0.5),
    ]


def test_a_spike_that_pooling_held_back_stays_visible() -> None:
    now = verdict(*frames(0.6, 0.001, 0.001, 0.001, 0.001))
    assert now.severity == "none"
    assert [item.frame for item in now.evidence] == [0]


def test_a_calm_verdict_carries_no_evidence() -> None:
    assert verdict(chat(0.05), *frames(0.1, 0.2)).evidence == ()


@UNHURRIED
@given(ITEMS, EARLIER, st.data())
def test_raising_one_item_never_lowers_the_verdict(
    items: list[Evidence], earlier: list[float | None], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    lifted = [*items]
    higher = data.draw(st.floats(items[index].probability, 1))
    lifted[index] = items[index].model_copy(update={"probability": higher})
    assert _rank(verdict(*lifted, earlier=earlier)) >= _rank(verdict(*items, earlier=earlier))


@UNHURRIED
@given(ITEMS, EARLIER, REASONS)
def test_missing_data_never_lowers_the_action_below_what_the_rest_gives(
    items: list[Evidence], earlier: list[float | None], reasons: dict[str, str]
) -> None:
    lacking = verdict(*items, earlier=earlier, coverage=covered(**reasons))
    whole = verdict(*items, earlier=earlier)
    assert ACTIONS.index(lacking.action) >= ACTIONS.index(whole.action)
    assert (lacking.probability, lacking.severity) == (whole.probability, whole.severity)


@UNHURRIED
@given(ITEMS, st.data())
def test_the_order_of_evidence_makes_no_difference(items: list[Evidence], data: st.DataObject) -> None:
    assert verdict(*data.draw(st.permutations(items))) == verdict(*items)


@UNHURRIED
@given(ITEMS, EARLIER, REASONS)
def test_a_verdict_survives_json_unchanged(
    items: list[Evidence], earlier: list[float | None], reasons: dict[str, str]
) -> None:
    now = verdict(*items, earlier=earlier, coverage=covered(**reasons))
    assert Verdict.model_validate_json(now.model_dump_json()) == now
    assert now.because
    for probability in (now.probability, now.instant, *(part.probability for part in now.contributions)):
        assert probability == round(probability, 4)


@UNHURRIED
@given(ITEMS)
def test_a_policy_is_moved_by_its_own_evidence_only(items: list[Evidence]) -> None:
    verdicts = fuse({"scam": items}, SEEN, policies(), at=NOON + SEGMENT_S, history={NOON: {"scam": 0.9}})
    assert {v.probability for v in verdicts if v.policy != "scam"} == {PLAIN.prior}


def _rank(now: Verdict) -> tuple[float, float, int, int]:
    return (now.probability, now.instant, SEVERITIES.index(now.severity), ACTIONS.index(now.action))
