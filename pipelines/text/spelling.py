"""How a text is written, character by character: the sparse half of the risk head.

A sentence encoder knows what a line means and is vague about its words; runs of one to three characters know slang,
names and spellings by heart and nothing of their meaning. On comments about race, region and gender the second alone
is as accurate as the first, and both together are better than either. The runs are hashed into a fixed number of
buckets (Weinberger et al. 2009, arXiv:0902.2206), so that no vocabulary is stored and any character can be weighed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.text.normalise import normalise

SIZES = (1, 2, 3)
"""Characters in a run. Runs of four did not help Mandarin and hardly helped English."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
_FOLD = np.uint64(29)

Buckets = NDArray[np.int64]


def runs(text: str, buckets: int) -> tuple[Buckets, NDArray[np.float32]]:
    """The buckets that the text's runs fall into, rising, and 1 + ln(how many fell there).

    `text` is normalised here; its ends count as blanks. `buckets` is a power of two.
    """
    letters = np.frombuffer(f" {normalise(text).text} ".encode("utf-32-le", "replace"), dtype=np.uint32).astype(
        np.uint64
    )
    shift = np.uint64(64 - buckets.bit_length() + 1)
    state = np.zeros(len(letters), dtype=np.uint64)
    found = []
    for size in range(1, min(max(SIZES), len(letters)) + 1):
        state = (state[: len(letters) - size + 1] ^ (letters[size - 1 :] + np.uint64(1))) * _MIX  # wraps, as it should
        state ^= state >> _FOLD
        found.append((state * _MIX) >> shift)
    unique, counts = np.unique(np.concatenate(found).astype(np.int64), return_counts=True)
    return unique, (1 + np.log(counts)).astype(np.float32)


@dataclass(frozen=True)
class Spelling:
    """`rarity` [buckets] and `weight` [buckets, labels], float32.

    A text's features are its runs' counts times their rarity, of length one; a logit is their weighted sum.
    """

    rarity: NDArray[np.float32]
    weight: NDArray[np.float32]

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape [texts, labels]: what is added to the logits of the embeddings."""
        found = np.zeros((len(texts), self.weight.shape[1]), dtype=np.float32)
        for row, text in enumerate(texts):
            buckets, values = features(text, self.rarity)
            found[row] = values @ self.weight[buckets]
        return found


def features(text: str, rarity: NDArray[np.float32]) -> tuple[Buckets, NDArray[np.float32]]:
    """Buckets and values of length one; all values are zero where nothing in the text was ever learned from."""
    buckets, values = runs(text, len(rarity))
    values = values * rarity[buckets]
    return buckets, values / max(float(np.linalg.norm(values)), 1e-9)
