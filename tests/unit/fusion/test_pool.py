from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fusion.pool import pooled
from pipelines.policies import Fusion
from pipelines.record import Evidence
from tests.evidence import PLAIN, UNHURRIED, chat, frame, frames, said

ITEM = st.builds(
    lambda probability, sure, users, index: (
        frame(probability, index) if index is not None else said("chat", probability, sure=sure, users=users)
    ),
    st.floats(0, 1),
    st.floats(0, 1),
    st.integers(0, 40),
    st.none() | st.integers(0, 9),
)


def pool(*items: Evidence) -> float:
    return pooled(items, PLAIN, Fusion())


def test_a_single_frame_is_taken_as_it_is() -> None:
    assert pool(frame(0.9)) == pytest.approx(0.9)


def test_one_spike_among_calm_frames_counts_less_than_the_same_score_lasting() -> None:
    assert pool(*frames(0.01, 0.01, 0.95, 0.01, 0.01)) < 0.5
    assert pool(*frames(0.01, 0.95, 0.95, 0.01, 0.01)) == pytest.approx(0.95)


def test_a_frame_judged_by_reuse_counts_as_a_frame() -> None:
    shown_twice = frame(0.95).model_copy(update={"at_s": 2.0, "frame": 1})
    assert pool(frame(0.95), shown_twice, *frames(0.01, 0.01, 0.01)) > pool(frame(0.95), *frames(*[0.01] * 4))


def test_calm_frames_are_shown_as_calm_as_the_least_calm_of_them() -> None:
    assert pool(*frames(0.001, 0.004, 0.002)) == pytest.approx(0.004)


def test_of_text_the_strongest_line_speaks() -> None:
    assert pool(chat(0.05), chat(0.8), chat(0.1)) == pytest.approx(0.8)


def test_an_unsure_recogniser_pulls_its_text_towards_the_prior() -> None:
    sure, unsure, lost = (pool(said("speech", 0.9, sure=sure)) for sure in (1.0, 0.5, 0.0))
    assert sure == pytest.approx(0.9)
    assert lost == pytest.approx(PLAIN.prior)
    assert lost < unsure < sure


def test_a_recogniser_that_is_as_sure_as_of_clean_speech_counts_whole() -> None:
    assert pool(said("speech", 0.9, sure=Fusion().sure_confidence)) == pytest.approx(0.9)


def test_each_doubling_of_distinct_users_adds_the_same_log_odds() -> None:
    one, two, four = pool(chat(0.5, users=1)), pool(chat(0.5, users=2)), pool(chat(0.5, users=4))
    assert one == pytest.approx(0.5)
    assert (two / (1 - two)) == pytest.approx((four / (1 - four)) / (two / (1 - two)))


def test_users_add_up_over_different_lines() -> None:
    assert pool(chat(0.5, users=2), chat(0.4, users=2)) == pytest.approx(pool(chat(0.5, users=4)))


def test_users_who_said_something_harmless_do_not_count() -> None:
    assert pool(chat(0.5, users=1), chat(0.01, users=30)) == pytest.approx(0.5)


def test_a_line_pasted_by_a_thousand_users_counts_like_one_pasted_by_sixteen() -> None:
    assert pool(chat(0.3, users=1000)) == pytest.approx(pool(chat(0.3, users=16)))
    assert pool(chat(0.3, users=1000)) < PLAIN.thresholds.act


def test_text_read_from_a_frame_is_pooled_as_text() -> None:
    banner = said("screen", 0.9).model_copy(update={"frame": 3})
    assert pool(banner, said("screen", 0.01), said("screen", 0.01)) == pytest.approx(0.9)


@UNHURRIED
@given(st.lists(ITEM, min_size=1, max_size=8), st.data())
def test_raising_one_item_never_lowers_the_pool(items: list[Evidence], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    higher = data.draw(st.floats(items[index].probability, 1))
    lifted = [*items]
    lifted[index] = items[index].model_copy(update={"probability": higher})
    assert pool(*lifted) >= pool(*items) - 1e-12


@UNHURRIED
@given(st.lists(ITEM, min_size=1, max_size=8), st.data())
def test_the_order_of_items_does_not_matter(items: list[Evidence], data: st.DataObject) -> None:
    assert pool(*data.draw(st.permutations(items))) == pool(*items)
