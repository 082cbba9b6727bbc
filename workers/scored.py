"""What `liverisk score` says of one item: the formats of its JSON."""

from __future__ import annotations

from pipelines.record import Coverage, Hit, Verdict
from pipelines.strict import Strict

Probabilities = dict[str, float]
"""Policy -> calibrated probability; policies that no label speaks for are absent."""


class MatchedTerm(Hit):
    """A lexicon's term, how and where it was written, and which steps led from one to the other.

    `counts`: it needs no context, or has it.
    """

    chain: tuple[str, ...] = ()
    counts: bool


class TextScore(Strict):
    """`policies` is None when a text slot failed; `error` then names the failure.

    `unmasked` is what was scored beside `normalised`, null where there was no disguise.
    """

    text: str
    language: str | None
    normalised: str
    unmasked: str | None = None
    terms: tuple[MatchedTerm, ...] = ()
    policies: Probabilities | None
    error: str | None = None


class SpanScore(TextScore):
    """A stretch of speech."""

    start_s: float
    end_s: float
    confidence: float


class AudioScore(TextScore):
    """`text` and `transcript` are all spans in one, as heard; empty when nobody spoke."""

    transcript: str
    language_probability: float
    speech_s: float
    spans: tuple[SpanScore, ...]
    coverage: dict[str, Coverage]


class ScreenScore(TextScore):
    """A line read from the image; `box` is left, top, right, bottom as fractions."""

    confidence: float
    box: tuple[float, float, float, float] | None


class ImageScore(Strict):
    """`scores` is slot -> native label -> native score of the picture itself."""

    scores: dict[str, dict[str, float]]
    screen: tuple[ScreenScore, ...]
    policies: Probabilities | None
    error: str | None = None
    coverage: dict[str, Coverage]


class SegmentScore(Strict):
    """A whole segment as the first of its stream: fused over its modalities, with no history before it."""

    stream_id: str
    segment_id: str
    policies: Probabilities
    verdicts: tuple[Verdict, ...]
    coverage: dict[str, Coverage]
