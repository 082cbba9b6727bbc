"""The short form of `make prove-chaos`: one of each of seven kinds of fault, over twenty segments and tiny models.

Nothing is paused or made mute here, no segment hangs, the broker is Valkey, and nothing breaks twice: that, real
models and half an hour of it are for the long form, which is the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from tests.benchmarks.bench import place
from tests.benchmarks.chaos_faults import drawn
from tests.benchmarks.chaos_load import Load
from tests.benchmarks.chaos_pool import ChaosPool, chaos_pool
from tests.benchmarks.prove_chaos import prove, report
from tests.tiny_stock import Stock
from workers.stack.services import Services

SEED = 248
KINDS: Sequence[str] = (
    *("kill child", "kill worker", "kill engine", "kill broker", "kill store"),
    *("cut broker", "part store"),
)
MIX: Mapping[str, int] = {
    "frames": 8, "chat": 5, "speech": 1, "gone": 1, "broken": 1,
    "die": 1, "leave": 1, "manifest": 1, "outside_media": 1,
}  # fmt: skip


@pytest.fixture
def breakable(stock: Stock) -> Iterator[ChaosPool]:
    with (
        place("chaos") as directory,
        Services(directory / "services") as services,
        chaos_pool(services, directory / "pool", deadline_s=10, models=stock.settings) as pool,
    ):
        yield pool


@pytest.mark.timeout(200)
def test_every_segment_has_one_record_or_a_reason_and_nothing_is_left_when_everything_breaks(
    breakable: ChaosPool,
) -> None:
    faults = drawn(SEED, KINDS, every_s=1, rounds=1, longest_s=2)
    outcome = prove(breakable, faults, Load(breakable, SEED, outstanding=6, rounds=1, mix=MIX, copy_s=4))
    report(outcome)
    assert outcome.faults == dict.fromkeys(KINDS, 1)
    assert len(outcome.sent) == sum(MIX.values())
    assert list(outcome.wrong(breakable.config.worker.max_attempts)) == []
