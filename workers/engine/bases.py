"""Weights that several checkpoints have in common are held once: what one more really takes, and what one gives back.

Models that torch runs share their base (`pipelines.sessions.pytorch.load_shared`); what tells bases apart is the
sha256 of their files, which cards and lock file pin.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

from pipelines.cards import Card, CardError, read_card
from pipelines.checkpoints import CheckpointError, Lock
from pipelines.checkpoints.lock import LOCK_FILE
from pipelines.checkpoints.verification import pins
from pipelines.sessions.adapter import adapter_of
from workers.config import Config
from workers.engine.handles import Handle, Place
from workers.engine.memory import loading_bytes, weight_bytes

WHOLE = "model.safetensors"


def base_of(config: Config, card: Card) -> str | None:
    """The sha256 of the base's files, one after the other; None where nobody pinned any that torch reads."""
    pinned = pins(card, Lock(config.cards_directory / LOCK_FILE).entry(card.id))
    shards = sorted(name for name in pinned if name.endswith(".safetensors") and "/" not in name)
    return "".join(pinned[name] for name in ([WHOLE] if WHOLE in pinned else shards)) or None


def held_bases() -> frozenset[str]:
    """The bases that models of this process have in memory. Does not bring torch along."""
    sessions = sys.modules.get("pipelines.sessions.pytorch")
    return sessions.held_bases() if sessions is not None else frozenset()


def needed_bytes(config: Config, card: Card, held: Collection[str]) -> int:
    """What loading this checkpoint may take where these bases are held; over one of them only what is its own.

    Of an embedding head whose adapter is merged, the matrices that change are its own, too: it is taken for whole.
    """
    own = sum((card.folder / name).stat().st_size for name in card.fields.artefacts)
    merges = card.fields.kind == "embedding-head" and adapter_of(card) is not None
    if base_of(config, card) in held and not merges:
        return loading_bytes(own)
    return loading_bytes(weight_bytes(config.models / card.id) + own)


class Bases:
    """Which base each loaded checkpoint stands on, looked up once for each."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._known: dict[str, str | None] = {}

    def freed_with_kept(self, places: Mapping[str, Place]) -> int:
        """Bytes of what is there only for going back; a base that others stand on stays with them."""
        kept = {place.kept.ref.id: place.kept for place in places.values() if place.kept is not None}
        try:
            stay = {self._of(one) for place in places.values() for one in place.handles if one is not place.kept} - {
                None
            }
            return sum(
                weight_bytes(self._config.models / name) for name, one in kept.items() if self._of(one) not in stay
            )
        except (CardError, CheckpointError, OSError):  # somebody is changing cards or folders just now
            return 0

    def _of(self, handle: Handle) -> str | None:
        if handle.ref.session != "torch":
            return None
        if handle.ref.digest not in self._known:
            card = read_card(self._config.cards_directory / handle.ref.id)
            self._known[handle.ref.digest] = base_of(self._config, card)
        return self._known[handle.ref.digest]
