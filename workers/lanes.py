"""The lanes in which segments wait, most urgent first, each a queue of the same name, and what is sent there."""

from __future__ import annotations

from typing import Literal, get_args

Lane = Literal["live", "review", "rescan"]
LANES: tuple[Lane, ...] = get_args(Lane)

CLASSIFY = "liverisk.classify"
"""The task that examines a segment. Its name is contract: clients in any language send it."""

REEXAMINE = "liverisk.reexamine"
"""Runs the models that a review or rescan asks for on one of its segments. Sent by the feeder."""

CONCLUDE = "liverisk.conclude"
"""Fuses one batch of a review or rescan and writes its records. Sent by the feeder."""

REVIEW = "liverisk.review"
"""Asks for a deep review of a stream. Its name is contract, as that of `liverisk.classify`."""

UNACKED = "unacked"
"""Where the broker's transport keeps messages that were delivered and not yet acknowledged."""
