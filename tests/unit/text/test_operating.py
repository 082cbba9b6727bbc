from __future__ import annotations

import math

import numpy as np
import pytest

from pipelines.policies import POLICIES_FILE, POLICY_IDS, Policies, read_policies
from pipelines.text.training.evaluate import Judged, figures_of
from pipelines.text.training.operating import COLUMNS, RATES, languages_of, limit, operating, rows


@pytest.fixture(scope="module")
def policies() -> Policies:
    return read_policies(POLICIES_FILE)


def lines(*, language: str | None = "zh", about: int = 30, others: int = 300) -> Judged:
    """What is about the policy is said at 0.95, everything else at 0.05; one in ten is mistaken for the other."""
    truth = np.arange(about + others) < about
    mistaken = np.arange(about + others) % 10 == 0
    return Judged(truth, np.where(truth ^ mistaken, 0.95, 0.05), (language,) * len(truth))


def both(one: Judged, other: Judged) -> Judged:
    return Judged(
        np.concatenate([one.truth, other.truth]),
        np.concatenate([one.probabilities, other.probabilities]),
        (*one.languages, *other.languages),
    )


def test_a_threshold_is_told_as_the_share_of_other_lines_that_reach_it(policies: Policies) -> None:
    (whole, _) = operating({"scam": lines()}, policies)
    assert whole.review.threshold == policies.policies["scam"].thresholds.review
    assert (whole.review.others.hits, whole.review.others.of) == (30, 300)
    assert (whole.review.found.hits, whole.review.found.of) == (27, 30)


def test_a_line_exactly_at_a_threshold_reaches_it(policies: Policies) -> None:
    review = policies.policies["scam"].thresholds.review
    at = Judged(np.array([False, False]), np.array([review, np.nextafter(review, 0)]), ("zh", "zh"))
    (point,) = operating({"scam": at}, policies)
    assert point.review.others.hits == 1


def test_no_more_than_the_stated_share_of_lines_lies_above_a_limit() -> None:
    values = np.linspace(0, 1, 1000, endpoint=False)
    found = limit(values, 0.01)
    assert (values > found).sum() == 10
    assert (values > np.nextafter(found, 0)).sum() == 11


def test_lines_of_equal_probability_do_not_carry_a_limit_past_its_share() -> None:
    values = np.array([0.5] * 50 + [0.1] * 950)
    assert limit(values, 0.01) == 0.5


def test_a_rate_that_too_few_lines_can_show_gives_no_probability(policies: Policies) -> None:
    assert math.isnan(limit(np.zeros(99), 0.01))
    assert math.isnan(limit(np.zeros(0), 0.01))
    (whole, _) = operating({"scam": lines()}, policies)
    assert [math.isnan(each) for each in whole.limits] == [False, True]


def test_only_a_language_with_lines_enough_of_both_kinds_stands_by_itself() -> None:
    judged = both(both(lines(language="zh"), lines(language="es", about=19)), lines(language=None))
    assert languages_of(judged) == ("zh",)
    assert languages_of(both(lines(language="zh"), lines(language="en"))) == ("en", "zh")


def test_a_language_is_judged_by_its_own_lines_alone(policies: Policies) -> None:
    plain = lines(language="en")
    calm = Judged(plain.truth, np.where(plain.truth, 0.95, 0.05), plain.languages)
    points = {each.language: each for each in operating({"hate": both(lines(language="zh"), calm)}, policies)}
    assert points["en"].review.others.value == 0
    assert points["zh"].review.others.value == pytest.approx(0.1)
    assert points[None].review.others.value == pytest.approx(0.05)
    assert figures_of("hate", calm.only("en")).calibration_error == pytest.approx(0.05)


def test_every_row_fills_every_column_even_where_nobody_judged_a_line(policies: Policies) -> None:
    nobody = Judged(np.zeros(0, dtype=np.bool_), np.zeros(0), ())
    table = list(rows(operating(dict.fromkeys(POLICY_IDS, nobody), policies)))
    assert [row[0] for row in table] == list(POLICY_IDS)
    assert {len(row) for row in table} == {len(COLUMNS)}
    assert all(cell == "-" for cell in table[0][-len(RATES) :])
