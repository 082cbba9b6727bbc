"""Every figure of a comparison, on columns short enough to be worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pipelines.cards import Calibration, Label
from pipelines.comparison.disagreement import cells, exemplars, flags, severity
from pipelines.comparison.drift import drift, rank_correlation, reading, stability_index
from pipelines.comparison.pairs import Column, Pair, columns, probabilities
from pipelines.comparison.quality import judgement
from pipelines.comparison.rates import average_precision, calibration_error, interval, rate, reliability, resamples
from pipelines.policies import Thresholds
from pipelines.record import Modality

THRESHOLDS = Thresholds(watch=0.3, review=0.6, act=0.9, severe=0.98)


def pair(
    number: int = 0,
    *,
    old: float | None = 0.1,
    new: float | None = 0.1,
    language: str | None = "en",
    modality: Modality = "chat",
    about: bool | None = None,
) -> Pair:
    return Pair(
        id=f"item-{number}",
        where=f"line {number}",
        modality=modality,
        language=language,
        old=None if old is None else {"scam": old},
        new=None if new is None else {"scam": new},
        truth={} if about is None else {"scam": about},
    )


def column(old: Sequence[float], new: Sequence[float], pairs: Sequence[Pair] | None = None) -> Column:
    rows = pairs or [pair(number, old=a, new=b) for number, (a, b) in enumerate(zip(old, new, strict=True))]
    return Column("scam", tuple(rows), np.array(old, dtype=float), np.array(new, dtype=float))


def test_a_probability_is_calibrated_for_the_language_and_rounded_as_fusion_rounds() -> None:
    halved = Calibration(intercept=-math.log(2))
    label = Label(policies=("scam",), calibration=Calibration(), by_language={"zh": halved})

    assert probabilities({"lure": 0.5}, {"lure": label}, "en") == {"scam": 0.5}
    assert probabilities({"lure": 0.5}, {"lure": label}, "zh") == {"scam": 0.3333}


def test_of_several_labels_the_strongest_speaks_for_a_policy() -> None:
    both = {"lure": Label(policies=("scam", "minor_safety")), "fraud": Label(policies=("scam",)), "fine": Label()}

    found = probabilities({"lure": 0.2, "fraud": 0.7, "fine": 0.9}, both, None)

    assert found == {"scam": 0.7, "minor_safety": 0.2}


def test_a_column_holds_only_what_both_answered() -> None:
    meanings = {"scam": Label(policies=("scam",))}
    found = columns([pair(1, old=0.2, new=0.4), pair(2, new=None), pair(3, old=None)], meanings, meanings)

    assert [(one.policy, [row.id for row in one.pairs]) for one in found] == [("scam", ["item-1"])]
    assert (found[0].old.tolist(), found[0].new.tolist()) == ([0.2], [0.4])


def test_a_policy_that_only_one_speaks_for_has_no_column() -> None:
    assert columns([pair()], {"scam": Label(policies=("scam",))}, {"scam": Label(policies=("hate",))}) == ()


def test_items_are_counted_by_who_flags_them_at_review() -> None:
    found = flags(column([0.59, 0.6, 0.1, 0.9, 0.9], [0.1, 0.1, 0.6, 0.95, 0.59]), THRESHOLDS)

    assert (found.neither, found.only_old, found.only_new, found.both) == (1, 2, 1, 1)
    assert (found.items, found.differ) == (5, 3)


def test_the_matrix_is_split_by_language_and_modality() -> None:
    rows = [
        pair(1, language="zh", modality="speech"),
        pair(2, language="en"),
        pair(3, language=None),
        pair(4, language="en"),
    ]
    found = cells(column([0.9, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1], rows), THRESHOLDS)

    assert [(one.language, one.modality, one.flags.items, one.flags.differ) for one in found] == [
        ("zh", "speech", 1, 1),
        ("en", "chat", 2, 0),
        ("unknown", "chat", 1, 0),
    ]


@pytest.mark.parametrize(
    ("probability", "expected"), [(0.29, "none"), (0.3, "low"), (0.6, "medium"), (0.9, "high"), (1.0, "high")]
)
def test_a_probability_has_the_severity_of_the_threshold_it_reaches(probability: float, expected: str) -> None:
    assert severity(probability, THRESHOLDS) == expected


def test_exemplars_are_sorted_by_change_times_severity() -> None:
    # 0.3 of change at `high` (× 4) outweighs 0.5 at `low` (× 2); what did not change is no exemplar
    found = exemplars(column([0.65, 0.05, 0.4], [0.95, 0.55, 0.4]), THRESHOLDS, most=5)

    assert [(one.id, one.weight) for one in found] == [("item-0", 1.2), ("item-1", 1.0)]
    assert (found[0].severity_old, found[0].severity_new, found[0].text) == ("medium", "high", None)


def test_only_so_many_exemplars_are_kept() -> None:
    assert len(exemplars(column([0.1] * 9, [0.2] * 9), THRESHOLDS, most=4)) == 4


def test_the_stability_index_of_the_same_column_is_zero() -> None:
    values = np.linspace(0, 1, 50)

    assert stability_index(values, values) == 0.0


def test_the_stability_index_of_halves_that_trade_places() -> None:
    # two bins: (0.8, 0.2) becomes (0.2, 0.8), so 2 × 0.6 × ln 4
    old = np.array([0.1] * 8 + [0.9] * 2)
    new = np.array([0.1] * 2 + [0.9] * 8)

    assert stability_index(old, new) == pytest.approx(2 * 0.6 * math.log(4))


def test_an_empty_bin_counts_as_half_an_item() -> None:
    # one value makes two bins, of which the upper is empty before and full afterwards: both half an item of ten
    old, new = np.full(10, 0.1), np.full(10, 0.9)

    assert stability_index(old, new) == pytest.approx(2 * 0.95 * math.log(20))


@pytest.mark.parametrize(
    ("index", "words"), [(0.0, "little"), (0.099, "little"), (0.1, "some"), (0.25, "much"), (3.0, "much")]
)
def test_the_index_is_read_as_is_usual(index: float, words: str) -> None:
    assert reading(index) == words


def test_too_few_items_are_not_put_into_words() -> None:
    assert drift(column([0.1, 0.2], [0.8, 0.9])).reading is None
    assert drift(column([0.1] * 100, [0.8] * 100)).reading == "much"


def test_drift_tells_means_and_histograms() -> None:
    found = drift(column([0.02, 0.98], [0.02, 0.52]))

    assert (found.mean_old, found.mean_new) == (0.5, 0.27)
    assert found.mean_shift == pytest.approx(-0.23)
    assert (found.histogram_old[0], found.histogram_old[19], found.histogram_new[10]) == (1, 1, 1)
    assert sum(found.histogram_new) == 2


def test_drift_of_nothing_says_nothing() -> None:
    found = drift(column([], []))

    assert (found.items, found.psi, found.reading, found.rank_correlation) == (0, None, None, None)


def test_rank_correlation_looks_at_the_order_alone() -> None:
    assert rank_correlation(np.array([0.1, 0.2, 0.9]), np.array([0.3, 0.31, 0.32])) == pytest.approx(1)
    assert rank_correlation(np.array([0.1, 0.2, 0.9]), np.array([0.9, 0.5, 0.1])) == pytest.approx(-1)


def test_equal_values_share_the_middle_rank() -> None:
    # ranks (1.5, 1.5, 3) against (1, 2, 3): covariance 1.5, deviations sqrt(1.5) and sqrt(2)
    found = rank_correlation(np.array([0.1, 0.1, 0.9]), np.array([0.1, 0.2, 0.3]))

    assert found == pytest.approx(1.5 / math.sqrt(1.5 * 2))


def test_one_value_everywhere_has_no_rank_correlation() -> None:
    assert rank_correlation(np.array([0.1, 0.1]), np.array([0.1, 0.2])) is None


def test_a_rate_has_wilson_s_interval() -> None:
    found = rate(9, 10)

    assert (found.value, found.low, found.high) == (0.9, 0.5958, 0.9821)
    assert rate(0, 0).value is None


def test_average_precision_of_a_short_list() -> None:
    # hits at places 1 and 3 of 4: (1/1 + 2/3) / 2
    truth, values = np.array([True, False, True, False]), np.array([0.9, 0.8, 0.7, 0.1])

    assert average_precision(truth, values)[0] == pytest.approx((1 + 2 / 3) / 2)


def test_average_precision_is_scikit_learn_s_with_ties_and_weights() -> None:
    rng = np.random.default_rng(3)
    truth, values = rng.random(60) < 0.3, np.round(rng.random(60), 1)
    weights = resamples(60)[:3]

    expected = [average_precision_score(truth, values, sample_weight=row) for row in weights]

    assert average_precision(truth, values, weights) == pytest.approx(expected)
    assert average_precision(truth, values)[0] == pytest.approx(average_precision_score(truth, values))


def test_resamples_draw_as_many_items_and_the_same_every_time() -> None:
    drawn = resamples(7)

    assert set(drawn.sum(axis=1)) == {7.0}
    assert (drawn == resamples(7)).all()


def test_an_interval_leaves_out_what_could_not_be_judged() -> None:
    found = interval(np.array([np.nan, 0.5, 0.5]))

    assert found is not None
    assert (found.low, found.high) == (0.5, 0.5)
    assert interval(np.array([np.nan])) is None


def test_the_calibration_error_is_the_mean_distance_of_said_and_seen() -> None:
    # one bin says 0.05 and 0 of 2 are; another says 0.95 and 1 of 2 is: (2 × 0.05 + 2 × 0.45) / 4
    bins = reliability(np.array([False, False, True, False]), np.array([0.05, 0.05, 0.95, 0.95]))

    assert [(one.items, one.said, one.seen) for one in bins] == [(2, 0.05, 0.0), (2, 0.95, 0.5)]
    assert calibration_error(bins) == pytest.approx(0.25)


def test_a_judgement_compares_both_on_the_same_items() -> None:
    # twenty lines about it, two hundred not: the old one tells them apart, the new one calls all of them the same
    rows = [pair(number, about=number < 20) for number in range(220)]
    found = judgement(column([0.9] * 20 + [0.1] * 200, [0.5] * 220, rows), THRESHOLDS)

    assert found is not None
    assert found.enough
    assert found.old.average_precision == 1.0
    assert found.new.average_precision == pytest.approx(20 / 220, abs=1e-4)
    assert (found.old.recall.value, found.new.recall.value) == (1.0, 0.0)
    assert (found.old.found.value, found.old.false_alarms.value) == (1.0, 0.0)
    assert found.difference == pytest.approx(-200 / 220, abs=1e-4)
    assert found.difference_interval is not None
    assert found.difference_interval.high < -0.8


def test_only_items_that_somebody_judged_count() -> None:
    rows = [pair(1, about=True), pair(2, about=False), pair(3)]
    found = judgement(column([0.9, 0.1, 0.1], [0.9, 0.1, 0.9], rows), THRESHOLDS)

    assert found is not None
    assert (found.items, found.about, found.enough) == (2, 1, False)


@pytest.mark.parametrize("about", [True, False])
def test_items_of_one_kind_alone_judge_nothing(about: bool) -> None:
    assert judgement(column([0.9, 0.1], [0.9, 0.1], [pair(1, about=about), pair(2, about=about)]), THRESHOLDS) is None
