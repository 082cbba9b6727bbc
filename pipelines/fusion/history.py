"""Over time: what the earlier segments of a stream add to this one.

The state of a stream is a map from segment start to that segment's own probabilities. A verdict replays the
part of the map that lies before it. So there is no running sum to spoil: a repeated segment overwrites its own
entry, a late one fills its place, and any order of arrival ends in the same verdicts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipelines.fusion.log_odds import DIGITS, excess, raised
from pipelines.policies import Policy
from pipelines.record import SEVERITIES, Severity, Verdict

History = Mapping[float, Mapping[str, float]]
"""Segment start in epoch seconds -> policy -> `instant` of that segment; a policy not examined then is absent."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a policy stands after one segment, everything before it considered."""

    probability: float
    """The segment's own or, when higher, what earlier ones still carry."""
    severity: Severity
    held: bool
    """Hysteresis alone keeps the severity; the probability has fallen below its threshold."""
    acting: bool
    """`high`, and persistent or severe enough to act on."""
    hits: int
    """How many of the last `of` segments reached `review`, this one included."""


@dataclass(frozen=True, slots=True)
class Past:
    """What a segment needs to know of those before it: how much they carry (in log-odds), and where they left off."""

    at: float = 0.0
    carried: float = 0.0
    level: int = 0
    acting: bool = False
    hits: tuple[bool, ...] = ()


def instants(verdicts: Iterable[Verdict]) -> dict[str, float]:
    """What to keep of a segment in its stream's state: policy -> its own probability.

    A policy for which nothing was examined and nothing was found is left out: not having looked calms nothing.
    """
    return {
        verdict.policy: verdict.instant
        for verdict in verdicts
        if verdict.examined != "not" or any(part.log_odds > 0 for part in verdict.contributions)
    }


def past(policy_id: str, policy: Policy, history: History, at: float, window_s: float) -> Past:
    """The earlier segments of the window, replayed in order. Entries at or after `at` do not count."""
    before = Past(at=at - window_s)
    for time in sorted(time for time in history if at - window_s <= time < at):
        instant = history[time].get(policy_id)
        if instant is not None:
            before, _ = step(before, time, instant, policy)
    return before


def step(before: Past, at: float, instant: float, policy: Policy) -> tuple[Past, Standing]:
    """One segment further.

    What earlier segments carry halves every half-life and only the strongest counts: neighbouring segments
    show the same scene, so their errors are the same error, and adding them up would make doubt into certainty.
    Lasting evidence counts through `hits` instead.
    """
    thresholds, persistence = policy.thresholds, policy.persistence
    faded = before.carried * 0.5 ** ((at - before.at) / persistence.half_life_s)
    carried = max(excess(instant, policy.prior), faded)
    probability = max(instant, raised(policy.prior, carried))
    rising = (thresholds.watch, thresholds.review, thresholds.act)
    reached = _level(probability, rising)
    kept = _level(probability, [round(threshold - persistence.hysteresis, DIGITS) for threshold in rising])
    level = max(reached, min(kept, before.level))
    hits = (*before.hits, instant >= thresholds.review)[-persistence.of :]
    acting = level == len(rising) and (sum(hits) >= persistence.hits or instant >= thresholds.severe or before.acting)
    after = replace(before, at=at, carried=carried, level=level, acting=acting, hits=hits)
    return after, Standing(probability, SEVERITIES[level], level > reached, acting, sum(hits))


def _level(probability: float, rising: Sequence[float]) -> int:
    return sum(probability >= threshold for threshold in rising)
