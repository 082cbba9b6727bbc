"""What would look at a segment today: digests of the configured slots, without loading a model, and the lexicon."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.cards import Card, CardError, read_cards
from pipelines.checkpoints.folder import CheckpointError, digest_of
from pipelines.checkpoints.lock import LOCK_FILE, Lock
from pipelines.checkpoints.state import standing
from pipelines.checkpoints.verification import pins
from pipelines.strict import Sha256
from pipelines.text.lexicon import Lexicon, LexiconError, read_lexicons
from workers.runs.store import RunError

if TYPE_CHECKING:
    from workers.config import Config


def todays_digests(config: Config, *, deep: bool = False) -> Mapping[str, Sha256]:
    """Slot -> digest that the engine of this configuration has; `deep`: of the slots that deep reviews ask another of.

    A card that pins its files says it by itself; of another, the folder on this machine is hashed, or else the
    engine that answers here is asked. `RunError` when none of them knows.
    """
    fillings = {name: slot.deep if deep else slot for name, slot in config.slots.items()}
    wanted = {name: filling.checkpoint for name, filling in fillings.items() if filling is not None}
    try:
        cards = read_cards(config.cards_directory)
        lock = Lock(config.cards_directory / LOCK_FILE)
        found = {slot: _digest(cards[name], config, lock) for slot, name in wanted.items() if name in cards}
    except (CardError, CheckpointError, OSError) as error:
        raise RunError(f"model cards: {error}") from None
    unknown = [slot for slot in wanted if found.get(slot) is None]
    served = _served(config, deep=deep) if unknown else {}
    for slot in unknown:
        if slot not in served:
            name = wanted[slot]
            raise RunError(f"slot {slot}: the digest of {name} is not known here; `liverisk models pull {name}`")
    return {slot: found.get(slot) or served[slot] for slot in wanted}


def todays_lexicon(config: Config) -> Lexicon:
    """The lexicon of this configuration; `RunError` when it cannot be read."""
    try:
        return read_lexicons(config.lexicons_directory, today=datetime.now(UTC).date())
    except LexiconError as error:
        raise RunError(f"lexicons: {error}") from None


def _digest(card: Card, config: Config, lock: Lock) -> Sha256 | None:
    pinned = pins(card, lock.entry(card.id))
    return digest_of(card, pinned) if pinned else standing(card, config.models, lock).digest


def _served(config: Config, *, deep: bool) -> Mapping[str, Sha256]:
    from workers.engine.client import EngineClient
    from workers.engine.errors import EngineUnavailable

    client = EngineClient(config)
    try:
        status = client.status(timeout_s=2)
        slots = {**status.slots, **status.deep} if deep else status.slots
        return {slot: one.checkpoint.digest for slot, one in slots.items()}
    except EngineUnavailable:
        return {}
    finally:
        client.close()
