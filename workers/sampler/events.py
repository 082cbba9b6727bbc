"""What a source says happened, in the order of receipt.

Times are seconds on the source's clock, which is zero at its first instant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["video", "audio"]


@dataclass(frozen=True, slots=True)
class Tracks:
    """What the source carries from here on; sent at the start and after each reconnect."""

    kinds: frozenset[Kind]


@dataclass(frozen=True, slots=True)
class Sight:
    """One decoded frame, on screen for `duration_s`. `encode` makes its JPEG, which most frames never need.

    It gives None for a frame that can be none.
    """

    at_s: float
    duration_s: float
    encode: Callable[[], bytes | None]


@dataclass(frozen=True, slots=True)
class Sound:
    """Mono int16 samples at 16 kHz, one dimension."""

    at_s: float
    samples: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Lapse:
    """The source gave nothing for this long. Lapses of one outage follow one another without a hole."""

    from_s: float
    to_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The last event; `returned` is False when a live source dropped and stayed away."""

    returned: bool


Event = Tracks | Sight | Sound | Lapse | Ended
