"""The lanes in which segments wait, most urgent first, each a queue of the same name, and what is sent there."""

from __future__ import annotations

from typing import Literal, get_args

Lane = Literal["live", "review", "rescan"]
LANES: tuple[Lane, ...] = get_args(Lane)

CLASSIFY = "liverisk.classify"
"""The task that examines a segment. Its name is contract: clients in any language send it."""
