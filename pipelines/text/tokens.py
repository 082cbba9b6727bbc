"""What every text model does with user text before and around its tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def reserved_strings(tokenizer: Any) -> tuple[str, ...]:
    """Strings that a transformers tokenizer turns into control tokens, `</s>` for instance; longest first."""
    contents = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    return tuple(sorted((text for text in contents if len(text.strip()) > 1), key=lambda text: (-len(text), text)))


def neutralised(text: str, reserved: Sequence[str]) -> str:
    """The text with a space inside every reserved string, so that a user cannot write control tokens.

    Tokenizers map such strings to control tokens even when told to split them. Breaking them up instead of
    removing them cannot put two halves of another one together.
    """
    for string in reserved:
        text = text.replace(string, f"{string[0]} {string[1:]}")
    return text


def length_buckets(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Indices in batches of at most `size`, like lengths together, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), size):
        yield order[start : start + size]
