"""docs/fusion.md says what the code and the shipped policies do."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.fusion import fuse
from pipelines.policies import POLICIES_FILE, POLICY_IDS, read_policies
from pipelines.record import Verdict
from tests.evidence import NOON, SEEN, chat, said

PAGE = POLICIES_FILE.parent.parent / "docs" / "fusion.md"


@pytest.fixture
def page() -> str:
    return Path(PAGE).read_text(encoding="utf-8")


@pytest.fixture
def example() -> Verdict:
    items = [chat(0.8, users=4), chat(0.1), said("screen", 0.85, sure=0.5), said("speech", 0.02, sure=0.8)]
    verdicts = fuse({"scam": items}, SEEN, read_policies(), at=NOON, history={NOON - 10: {"scam": 0.7}})
    return next(verdict for verdict in verdicts if verdict.policy == "scam")


def test_the_worked_example_ends_as_written(page: str, example: Verdict) -> None:
    assert f"that is **{example.instant:g}**" in page
    assert f": **{example.severity}** |" in page
    assert f": **{example.action}** |" in page
    assert f"`because`: {example.because}." in page
    assert f"`conflict`: {example.conflict}." in page
    assert [f"`without`: {source}: {severity}." in page for source, severity in example.without.items()] == [True]


def test_the_table_lists_the_shipped_policies(page: str) -> None:
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    assert rows == [_row(policy_id) for policy_id in POLICY_IDS]


def _row(policy_id: str) -> str:
    policy = read_policies().policies[policy_id]
    thresholds, weights, persistence = policy.thresholds, policy.weights, policy.persistence
    numbers = [policy.prior, thresholds.watch, thresholds.review, thresholds.act, thresholds.severe]
    numbers += [weights["frames"], weights["speech"], weights["screen"], weights["chat"]]
    cells = [f"`{policy_id}`", *(f"{number:g}" for number in numbers)]
    cells += [f"{persistence.hits} of {persistence.of}", f"{persistence.half_life_s:g} s"]
    return f"| {' | '.join(cells)} |"
