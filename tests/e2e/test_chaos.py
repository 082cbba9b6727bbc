"""`make prove-chaos` for half a minute: every kind of fault befalls a pool under load once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.benchmarks.bench import place
from tests.benchmarks.chaos_faults import KINDS, drawn
from tests.benchmarks.chaos_load import Load
from tests.benchmarks.chaos_pool import ChaosPool, chaos_pool
from tests.benchmarks.prove_chaos import prove, report
from workers.stack.services import Services

SEED = 248
"""The engine is killed last: without it nothing is under way that the others could hit."""


@pytest.fixture
def breakable() -> Iterator[ChaosPool]:
    with (
        place("chaos") as directory,
        Services(directory / "services") as services,
        chaos_pool(services, directory / "pool", deadline_s=20) as pool,
    ):
        yield pool


@pytest.mark.timeout(400)
def test_every_segment_has_one_record_or_a_reason_and_nothing_is_left_when_everything_breaks(
    breakable: ChaosPool,
) -> None:
    faults = drawn(SEED, KINDS, every_s=1.5, rounds=1, longest_s=3)
    outcome = prove(breakable, faults, Load(breakable, SEED, outstanding=8, rounds=1))
    report(outcome)
    assert {kind.partition(",")[0] for kind in outcome.faults} == set(KINDS)
    assert list(outcome.wrong(breakable.config.worker.max_attempts)) == []
