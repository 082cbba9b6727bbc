"""Which examples an epoch sees, and which of them together in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

JITTER = 0.15
"""Lengths are sorted with this much noise, so that batches differ between epochs and little of them is padding."""


def rows_of_epoch(
    members: Mapping[str, Sequence[int]], shares: Mapping[str, float], epoch: int, seed: int
) -> list[int]:
    """Rows of each source that has a share; a share below 1 takes the next ones each epoch, until all were seen.

    A share above 1 takes rows more than once in an epoch.
    """
    chosen: list[int] = []
    for source, share in shares.items():
        rows = members.get(source, ())
        if not rows:
            continue
        order = np.random.default_rng([seed, len(rows)]).permutation(np.asarray(rows))
        count = max(round(share * len(rows)), 1)
        chosen += [int(order[(epoch * count + at) % len(rows)]) for at in range(count)]
    return chosen


def batches(rows: Sequence[int], lengths: Sequence[int], tokens: int, seed: Sequence[int]) -> list[list[int]]:
    """The rows in batches of at most `tokens` tokens, padding included, and at least one row; in random order."""
    dice = np.random.default_rng(list(seed))
    noise = dice.uniform(1 - JITTER, 1 + JITTER, len(rows))
    order = sorted(range(len(rows)), key=lambda at: lengths[rows[at]] * noise[at])
    found: list[list[int]] = [[]]
    longest = 0
    for at in order:
        row = rows[at]
        longest = max(longest, lengths[row])
        if found[-1] and longest * (len(found[-1]) + 1) > tokens:
            found.append([])
            longest = lengths[row]
        found[-1].append(row)
    return [found[at] for at in dice.permutation(len(found))] if rows else []
