"""The simulated pool: what can be said of it without any measurement."""

from __future__ import annotations

import pytest

from workers.bench.simulation import Demand, Host, alone_s, fitted, simulate

SPEECH = Demand(0.1, 0.1, {"frames": 0.0, "speech": 1.0, "screen": 0.0, "chat": 0.0})
WIDE = Demand(0.0, 0.0, {"frames": 1.0, "speech": 1.0, "screen": 1.0, "chat": 1.0})


def test_a_lone_segment_takes_its_stages_one_after_the_other() -> None:
    assert alone_s(Host(cores=4, children=1), SPEECH) == pytest.approx(1.2)


@pytest.mark.parametrize(("cores", "takes_s"), [(1, 4.0), (2, 2.0), (4, 1.0), (8, 1.0)])
def test_models_side_by_side_share_the_cores(cores: int, takes_s: float) -> None:
    assert alone_s(Host(cores=cores, children=1), WIDE) == pytest.approx(takes_s)


def test_one_model_answers_one_segment_after_the_other() -> None:
    ends = simulate(Host(cores=8, children=8), [SPEECH] * 3, [0.0] * 3)
    assert ends == pytest.approx([1.2, 2.2, 3.2])


def test_a_second_copy_of_the_models_answers_two_at_a_time() -> None:
    ends = simulate(Host(cores=8, children=8, engines=2), [SPEECH] * 2, [0.0] * 2)
    assert ends == pytest.approx([1.2, 1.2])


def test_speech_alone_may_have_more_than_one_lane() -> None:
    ends = simulate(Host(cores=8, children=8, hearing=2), [SPEECH] * 2, [0.0] * 2)
    assert ends == pytest.approx([1.2, 1.2])
    ends = simulate(Host(cores=8, children=8, hearing=2), [WIDE] * 2, [0.0] * 2)
    assert ends == pytest.approx([1.0, 2.0])


def test_a_segment_waits_for_a_free_child() -> None:
    ends = simulate(Host(cores=8, children=1), [SPEECH] * 2, [0.0] * 2)
    assert ends == pytest.approx([1.2, 2.4])


def test_a_segment_that_comes_later_ends_later() -> None:
    assert simulate(Host(cores=2, children=2), [SPEECH] * 2, [0.0, 5.0]) == pytest.approx([1.2, 6.2])


def test_nothing_to_ask_is_no_reason_to_wait() -> None:
    silent = Demand(0.1, 0.2, {"frames": 0.0, "speech": 0.0, "screen": 0.0, "chat": 0.0})
    assert alone_s(Host(cores=1, children=1), silent) == pytest.approx(0.3)


def test_what_was_fitted_takes_as_long_as_the_segment_took() -> None:
    host = Host(cores=2, children=4)
    stages = {"fetch": 100.0, "frames": 400.0, "speech": 1500.0, "screen": 900.0, "chat": 200.0, "fuse": 5.0}
    assert alone_s(host, fitted(host, stages, 1.8)) == pytest.approx(1.8, rel=0.01)


def test_stages_that_shared_the_cores_are_less_work_than_they_seemed() -> None:
    host = Host(cores=2, children=4)
    stages = {"fetch": 0.0, "frames": 2000.0, "speech": 2000.0, "screen": 2000.0, "chat": 2000.0}
    assert sum(fitted(host, stages, 2.0).stations.values()) == pytest.approx(4.0, rel=0.01)
