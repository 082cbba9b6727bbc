"""What native labels mean for the policies, by checkpoint: out of cards, also of such as come while the pool runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.cards import CardError, Label, read_card, read_cards


class Labels(Mapping[str, Mapping[str, Label]]):
    """Checkpoint's id -> its native labels. Cards are read once, and a card that is new when it is first asked for.

    Raises `CardError` when a card cannot be read at the start; one that comes later then counts as missing.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known = {name: card.fields.labels for name, card in read_cards(directory).items()}

    def __getitem__(self, checkpoint: str) -> Mapping[str, Label]:
        if checkpoint not in self._known:
            try:
                self._known[checkpoint] = read_card(self._directory / checkpoint).fields.labels
            except CardError:
                raise KeyError(checkpoint) from None
        return self._known[checkpoint]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)
