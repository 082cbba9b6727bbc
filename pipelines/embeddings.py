"""What an encoder made of an item, to be kept: so that another head over the same encoder need not ask it again."""

from __future__ import annotations

import base64
import binascii
import zlib

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.strict import Sha256, Strict

NAMED = 16
"""Letters of the encoder's digest in the stored form."""


class Embedding(Strict):
    """Vectors as float16, little-endian, one after the other, each of `dimensions` numbers.

    `encoder` is the digest of everything that made them of the item, or its first letters.
    """

    encoder: str = Field(pattern=r"^[0-9a-f]{16,64}$")
    dimensions: int = Field(ge=1)
    content: bytes

    @classmethod
    def of(cls, vectors: NDArray[np.float32], encoder: Sha256) -> Embedding:
        """`vectors` [windows, dimensions]."""
        return cls(encoder=encoder, dimensions=vectors.shape[1], content=vectors.astype("<f2").tobytes())

    @property
    def vectors(self) -> NDArray[np.float32]:
        """Shape [windows, dimensions]. `ValueError` when the content is cut off."""
        return np.frombuffer(self.content, dtype="<f2").reshape(-1, self.dimensions).astype(np.float32)

    def is_by(self, encoder: Sha256) -> bool:
        return encoder.startswith(self.encoder)

    def stored(self) -> str:
        """For a record: the upper bytes before the lower ones, as those are alike and zlib finds that, in base 85."""
        halves = np.frombuffer(self.content, dtype=np.uint8).reshape(-1, 2).T.tobytes()
        return f"{self.encoder[:NAMED]}.{self.dimensions}.{base64.b85encode(zlib.compress(halves)).decode('ascii')}"


def read_embedding(stored: str) -> Embedding | None:
    """The embedding of its stored form; None for one that cannot be read: the item is then looked at anew."""
    try:
        encoder, dimensions, packed = stored.split(".", 2)
        halves = np.frombuffer(zlib.decompress(base64.b85decode(packed)), dtype=np.uint8)
        content = halves.reshape(2, -1).T.tobytes()
        found = Embedding(encoder=encoder, dimensions=int(dimensions), content=content)
        return found if len(found.vectors) else None
    except (ValueError, zlib.error, binascii.Error):
        return None
