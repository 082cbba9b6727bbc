"""Handing over at a pace, percentiles, bars, tables: figures that are right before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from workers.bench.compare import arrivals
from workers.bench.contender import Pace
from workers.bench.report import Burst, Growth, Load, Machine, Measured, Report, Savings, bars, percentile
from workers.bench.tables import tables
from workers.cli.main import cli

MACHINE = Machine(cores=2, processor="one", python="3.11")


def measured(name: str, busy_s: float, *, cpu_s: float = 10.0, latency_s: Sequence[float] = ()) -> Measured:
    """Ten busy and ten quiet segments: the quiet ones take a tenth."""
    return Measured(
        contender=name,
        block=0,
        ready_s=1,
        first_s=2,
        alone_s=(1.0,),
        bursts={
            "busy": Burst(segments=10, wall_s=busy_s, part_cpu_s={"engine": cpu_s - 1, "worker": 1}),
            "quiet": Burst(segments=10, wall_s=busy_s / 10, part_cpu_s={"engine": cpu_s / 10}),
        },
        loads=(Load(share=0.5, latency_s=tuple(latency_s)),),
        part_memory_mib={"engine": 90, "worker": 10},
    )


def report(*found: Measured, savings: Savings | None = None, growth: tuple[Growth, ...] = ()) -> Report:
    return Report(
        made_at="today",
        machine=MACHINE,
        command="liverisk bench",
        seed=7,
        measured=found,
        savings=savings,
        growth=growth,
    )


def held(made: Report) -> dict[str, bool | None]:
    return {bar.what: bar.holds for bar in bars(made)}


def test_a_segment_is_handed_over_when_its_time_has_come_and_there_is_room() -> None:
    sent: list[int] = []
    most = [0]
    ended: list[int] = []

    def finished() -> Sequence[int]:
        most[0] = max(most[0], len(sent) - len(ended))
        ended.append(len(ended))
        return ended[-1:]

    moments = Pace([0.0] * 6, ahead=2).run(sent.append, finished, "test")
    assert sent == list(range(6))
    assert most == [2]
    assert moments == sorted(moments)


def test_arrivals_are_in_order_and_about_evenly_spread() -> None:
    moments = arrivals(100, 2.0, (1, 2))
    assert moments == sorted(moments)
    assert 195 < moments[-1] < 202
    assert moments == arrivals(100, 2.0, (1, 2))


@pytest.mark.parametrize(("share", "value"), [(0.5, 5.0), (0.95, 10.0), (0.1, 1.0)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 11)], share) == value


def test_nothing_measured_has_no_percentile() -> None:
    assert percentile([], 0.5) is None


def test_throughput_over_a_mix_counts_the_time_of_every_shape() -> None:
    assert report(measured("pool", 10)).throughput("pool") == pytest.approx(200 / 11)
    assert report(measured("pool", 10)).throughput("pool", "busy") == pytest.approx(10)


def test_what_was_not_measured_neither_holds_nor_fails() -> None:
    found = held(report(measured("pool", 10)))
    assert found["throughput, pool to bare, busy"] is None
    assert found["CPU a second of stream, quiet to busy"] is True


@pytest.mark.parametrize(("pool_s", "holds"), [(10.4, True), (10.6, False)])
def test_the_pool_is_held_against_the_bare_process(pool_s: float, holds: bool) -> None:
    assert held(report(measured("pool", pool_s), measured("bare", 10)))["throughput, pool to bare, busy"] is holds


@pytest.mark.parametrize(("late_s", "holds"), [(1.9, True), (2.1, False)])
def test_the_slowest_live_segments_count(late_s: float, holds: bool) -> None:
    found = report(measured("pool", 10, latency_s=[1.0] * 18 + [late_s] * 2), measured("bare", 10))
    assert held(found)["p95 at 50 % load to bare alone"] is holds


def test_one_changed_verdict_misses_the_bar() -> None:
    changed = Savings(segments=2, planted=1, flagged=1, changed=("a: nothing, act",), wall_s=1, wall_without_s=2)
    assert held(report(savings=changed))["verdicts that savings change"] is False


def test_growth_is_held_against_its_first_and_its_cheapest_number() -> None:
    grown = (Growth(segments=10, wall_s=10, memory_mib=100), Growth(segments=100, wall_s=130, memory_mib=105))
    found = held(report(growth=grown))
    assert found["time a segment, dearest to cheapest number"] is False
    assert found["memory, last number to first"] is True


def test_every_table_has_as_many_cells_in_each_row() -> None:
    lines = list(tables(report(measured("pool", 10, latency_s=[1.0]), measured("bare", 10))))
    blocks = "\n".join(lines).split("\n\n")
    for block in blocks:
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_a_stored_report_reads_back() -> None:
    made = report(measured("pool", 10))
    assert Report.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_an_unknown_contender_is_wrong_usage() -> None:
    result = CliRunner().invoke(cli, ["bench", "--contenders", "pool,rabbit"])
    assert result.exit_code == 2
    assert result.output.startswith("liverisk: --contenders")
