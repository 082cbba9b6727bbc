"""Pooling the items of one modality into one probability."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipelines.fusion.log_odds import excess, logit, sigmoid
from pipelines.policies import Fusion, Policy
from pipelines.record import Evidence


def pooled(items: Sequence[Evidence], policy: Policy, fusion: Fusion) -> float:
    """What the items of one modality say together; `items` is not empty.

    Pictures: the mean log-odds of the highest `frame_persistence` of them (at least one), so that one spike among many
    frames counts less than what stays in view. Everything else: the strongest item, plus `user_gain` for each doubling
    of the distinct users who said something that reaches `watch`. An item's `weight` (how sure its recogniser was)
    pulls it towards the prior where it is below `sure_confidence`. When no item rises above the prior, the highest as
    it is.
    """
    highest = max(item.probability for item in items)
    if highest <= policy.prior:
        return highest
    pictures = [pull(item, policy, fusion) for item in items if is_picture(item)]
    others = [(pull(item, policy, fusion), item.users) for item in items if not is_picture(item)]
    by = max(_lasting(pictures, fusion), _strongest(others) + _crowd(others, policy, fusion))
    return sigmoid(logit(policy.prior) + by)


def is_picture(item: Evidence) -> bool:
    """Whether an item was judged by its look; text read from a frame names its frame, too, but was judged by words."""
    return item.frame is not None and item.text is None


def pull(item: Evidence, policy: Policy, fusion: Fusion) -> float:
    """How far one item alone lifts the log-odds above the prior."""
    sure = min(1.0, item.weight / fusion.sure_confidence)
    return sure * excess(item.probability, policy.prior)


def _lasting(pulls: Sequence[float], fusion: Fusion) -> float:
    if not pulls:
        return 0.0
    share = math.ceil(fusion.frame_persistence * len(pulls))
    return math.fsum(sorted(pulls, reverse=True)[:share]) / share


def _strongest(pulls_and_users: Sequence[tuple[float, int]]) -> float:
    return max((by for by, _ in pulls_and_users), default=0.0)


def _crowd(pulls_and_users: Sequence[tuple[float, int]], policy: Policy, fusion: Fusion) -> float:
    enough = excess(policy.thresholds.watch, policy.prior)
    users = sum(users for by, users in pulls_and_users if by >= enough)
    return fusion.user_gain * math.log2(min(users, fusion.user_cap)) if users > 1 else 0.0
