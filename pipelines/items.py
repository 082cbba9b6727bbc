"""What goes into a model and what comes out: the vocabulary between stages, engine and models.

Items hold validated arrays and text only; results hold plain numbers and strings. Both cross the
engine's socket, so neither knows about files, objects or messages.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.embeddings import Embedding
from pipelines.strict import Identifier, Sha256, Strict

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded frame: uint8, height x width x 3, RGB. `all_text`: read all that is written, not the largest only.

    `keep`: its embedding is wanted, too.
    """

    pixels: NDArray[np.uint8]
    all_text: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of which no more is at hand than what an encoder made of it: for a model over that encoder alone."""

    embedding: Embedding


@dataclass(frozen=True, slots=True)
class Clip:
    """Mono audio at 16 kHz, float32 in [-1, 1]; `language` (ISO 639-1) spares its detection.

    `beam_size` None: the checkpoint's own. `by_sentence`: spans as short as sentences, to tell whose words they are.
    """

    samples: NDArray[np.float32]
    language: str | None = None
    beam_size: int | None = None
    by_sentence: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """One piece of text as it was written.

    `keep`: its embedding is wanted, too. `embedding` is what an encoder made of it before: a model over that encoder
    does not run it again, any other reads the text.
    """

    text: str
    keep: bool = False
    embedding: Embedding | None = None


Item = Picture | Seen | Clip | Line


class Scores(Strict):
    """A classifier's native scores by native label; not yet probabilities of any policy. `embedding`: if wanted.

    `rescored`: the embedding that the item came with was scored, and no encoder ran.
    """

    labels: dict[str, float]
    embedding: Embedding | None = Field(default=None, exclude_if=lambda value: value is None)
    rescored: bool = Field(default=False, exclude_if=lambda value: not value)


class Span(Strict):
    """A stretch of speech. `confidence` is exp(mean token log probability), 0 to 1."""

    start_s: float
    end_s: float
    text: str
    confidence: float
    no_speech: float
    compression: float


class Transcript(Strict):
    """`spans` empty means that nobody spoke: `speech_s` says how many seconds passed the voice gate."""

    language: str | None
    language_probability: float
    spans: tuple[Span, ...]
    speech_s: float


class ScreenLine(Strict):
    """What was read in one place of a frame, maybe nothing; `box`: left, top, right, bottom as fractions of it."""

    text: str
    confidence: float
    box: tuple[float, float, float, float]


class ScreenText(Strict):
    """Empty `lines` means the detector found no text; `unread` lines were found but not read, for time."""

    lines: tuple[ScreenLine, ...]
    unread: int = 0


class Failure(Strict):
    """This item could not be scored; `error` is a class name, never a message that could quote content."""

    error: str


Result = Scores | Transcript | ScreenText | Failure


class CheckpointRef(Strict):
    """Exactly which weights spoke: the card's id, the digest over all its files, and what ran them.

    `encoder` is the digest of what makes the embeddings that it scores; None of a model that takes none.
    """

    id: Identifier
    digest: Sha256
    session: str
    encoder: Sha256 | None = Field(default=None, exclude_if=lambda value: value is None)
