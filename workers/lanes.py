"""The lanes in which segments wait, most urgent first. Each is a queue of the same name."""

from __future__ import annotations

from typing import Literal, get_args

Lane = Literal["live", "review", "rescan"]
LANES: tuple[Lane, ...] = get_args(Lane)
