"""Over time: what the earlier segments of a stream add to this one.

The state of a stream is a map from segment start to that segment's own probabilities. A verdict replays the
part of the map that lies before it. So there is no running sum to spoil: a repeated segment overwrites its own
entry, a late one fills its place, and any order of arrival ends in the same verdicts.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pipelines.fusion.log_odds import DIGITS, excess, raised
from pipelines.policies import Policy
from pipelines.record import SEVERITIES, Severity, Verdict

History = Mapping[float, Mapping[str, float]]
"""Segment start in epoch seconds -> policy -> `instant` of that segment; a policy not examined then is absent."""

SAME_SEGMENT_S: Final = 0.001
"""Starts this close are one segment: a state kept in milliseconds must not make a segment its own past."""


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

    at: float = -math.inf
    """Start of the last segment; before all time while there was none."""
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


def earlier(history: History, at: float, window_s: float) -> History:
    """The part of the state that a verdict about `at` looks at, in order."""
    times = sorted(time for time in history if at - window_s <= time < at - SAME_SEGMENT_S)
    return {time: history[time] for time in times}


def past(policy_id: str, policy: Policy, before: History) -> Past:
    """The segments of `before`, which is in order, replayed for one policy."""
    standing = Past()
    prior, of = policy.prior, policy.persistence.of
    calm = step(standing, 0.0, prior, policy)[0].level == 0
    for time, probabilities in before.items():
        instant = probabilities.get(policy_id)
        if instant is None:
            continue
        if calm and instant <= prior and not standing.carried and not standing.level:
            # What `step` would come to, at a tenth of its cost: most segments are calm in most respects.
            standing = Past(time, hits=(*standing.hits, False)[-of:])
        else:
            standing, _ = step(standing, time, instant, policy)
    return standing


def step(before: Past, at: float, instant: float, policy: Policy) -> tuple[Past, Standing]:
    """One segment further: what the next one needs to know, and where the policy stands now.

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
    kept = _level(round(probability + persistence.hysteresis, DIGITS), rising)
    level = max(reached, min(kept, before.level))
    hits = (*before.hits, instant >= thresholds.review)[-persistence.of :]
    acting = level == len(rising) and (sum(hits) >= persistence.hits or instant >= thresholds.severe or before.acting)
    standing = Standing(probability, SEVERITIES[level], level > reached, acting, sum(hits))
    return Past(at, carried, level, acting, hits), standing


def _level(probability: float, rising: Sequence[float]) -> int:
    return sum(probability >= threshold for threshold in rising)
