"""Examines a segment again in part: the stages whose models changed, everything else from its record."""

from __future__ import annotations

from typing import Literal, get_args

Stage = Literal["frames", "speech", "screen", "text"]
"""What can run again by itself. `text` scores stored transcript, on-screen text and chat anew."""
STAGES: tuple[Stage, ...] = get_args(Stage)
