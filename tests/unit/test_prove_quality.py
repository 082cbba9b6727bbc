"""What the proof of quality says and how it ends; what it measures is tested where it is computed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipelines.text.training.crossvalidate import CategoryFigures, CrossValidated
from pipelines.text.training.evaluate import PairFigures, Share, bins_of, calibration_error, figures_of
from tests.benchmarks.prove_quality import (
    Figure,
    calibration_figures,
    fold_figures,
    main,
    pair_figures,
    told,
)
from tests.unit.text.test_operating import lines


def test_a_figure_is_held_against_its_bar_as_the_bar_is_meant() -> None:
    assert Figure("cold", "accuracy", 0.9, "at least", 0.9).holds
    assert not Figure("cold", "accuracy", 0.899, "at least", 0.9).holds
    assert Figure("calibration", "ECE", 0.05, "at most", 0.05).holds
    assert not Figure("calibration", "ECE", 0.051, "at most", 0.05).holds
    assert not Figure("pairs", "right order", 0.7, "above", 0.7).holds


def test_what_could_not_be_measured_misses_every_bar() -> None:
    assert not Figure("cold", "accuracy", math.nan, "at least", 0.9).holds
    assert not Figure("calibration", "ECE", math.nan, "at most", 0.05).holds
    assert not Figure("pairs", "right order", math.nan, "above", 0.7).holds


def test_every_figure_is_printed_and_only_those_below_their_bar_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    figures = [Figure("cold", "good", 0.95, "at least", 0.9), Figure("cold", "bad", 0.85, "at least", 0.9)]
    assert list(told(figures)) == ["cold: bad 0.850, must be at least 0.9"]
    good, bad = capsys.readouterr().out.splitlines()
    assert "0.950   at least 0.9" in good
    assert "MISSED" not in good
    assert bad.endswith("MISSED")


def test_a_policy_without_held_out_lines_is_not_taken_for_well_calibrated() -> None:
    judged = lines()
    none = figures_of("scam", judged.only("fr"))
    (measured, unmeasured) = calibration_figures([figures_of("hate", judged), none], "all")
    assert measured.value == pytest.approx(calibration_error(bins_of(judged.truth, judged.probabilities)))
    assert math.isnan(unmeasured.value)
    assert not unmeasured.holds


def test_pairs_of_all_languages_count_together() -> None:
    def pairs(zh: int, en: int) -> list[PairFigures]:
        none = Share(0, 40)
        return [PairFigures("zh", Share(zh, 40), none, none), PairFigures("en", Share(en, 40), none, none)]

    (figure,) = pair_figures(pairs(38, 34), pairs(30, 34))
    assert (figure.value, figure.bar) == (72 / 80, 64 / 80)
    assert figure.holds


def test_a_data_set_that_the_folds_lack_is_missed() -> None:
    category = CategoryFigures("toxic", 500, 250, 0.99, 0.99, 0.98, 0.98)
    moderation, surge = fold_figures([CrossValidated("Surge half", (category,))])
    assert math.isnan(moderation.value)
    assert not moderation.holds
    assert surge.holds


def test_parts_without_their_data_are_named_and_the_proof_ends_with_three(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--parts", "cold", "--data", str(tmp_path)])
    assert ended.value.code == 3
    said = capsys.readouterr().out
    assert "chat         left out by --parts" in said
    assert "NOT AS IT MUST BE: cold: not measured: training data missing" in said


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--parts", "cold,colour"])
    assert ended.value.code == 2
    assert "no part colour" in capsys.readouterr().err
