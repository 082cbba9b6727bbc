"""The closed vocabulary of reasons why something was not, or not wholly, examined."""

from __future__ import annotations

from typing import Final

NO_INPUT: Final = "no_input"
"""The manifest says there was none: nothing to examine, and nothing is hidden by it."""
SILENCE: Final = "silence"
"""Audio was there and the voice gate heard nobody."""
MISSING_OBJECT: Final = "missing_object"
"""The manifest names an object that the store does not have."""
UNDECODABLE: Final = "undecodable"
"""The bytes are not the media they claim to be, or less or far more of them than can be right."""
DECODE_CRASH: Final = "decode_crash"
"""Decoding it ended the process that did: a permanent finding, as it does so again."""
DECODE_MEMORY: Final = "decode_memory"
DECODE_TIMEOUT: Final = "decode_timeout"
MODEL_FAILED: Final = "model_failed"
DEADLINE: Final = "deadline"
SHED: Final = "shed"
"""Overload: left out on purpose, and said."""
GAP: Final = "gap"
"""The sampler received nothing for part of the segment."""
NO_MODEL: Final = "no_model"
"""No slot of this deployment examines this modality."""

HARMLESS: Final = frozenset({NO_INPUT, SILENCE})
"""Reasons that leave a verdict whole: there was nothing that could have been missed."""
REASONS: Final = frozenset(
    {
        NO_INPUT,
        SILENCE,
        MISSING_OBJECT,
        UNDECODABLE,
        DECODE_CRASH,
        DECODE_MEMORY,
        DECODE_TIMEOUT,
        MODEL_FAILED,
        DEADLINE,
        SHED,
        GAP,
        NO_MODEL,
    }
)
