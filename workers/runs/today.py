"""What would look at a segment today: digests of the slots' checkpoints, without loading one, and the lexicon."""

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
from workers.registry.store import RegistryError, read_state
from workers.runs.store import RunError
from workers.storage import Storage

if TYPE_CHECKING:
    from workers.config import Config


def todays_digests(config: Config, *, deep: bool = False) -> Mapping[str, Sha256]:
    """Slot -> digest that the engine of this configuration has; `deep`: of the slots that deep reviews ask another of.

    Where the registry names a slot's checkpoint, it says so; a canary is no run's. Of the others a card that pins its
    files says it by itself; else the folder on this machine is hashed, or the engine that answers here is asked.
    `RunError` when none of them knows.
    """
    fillings = {name: slot.deep if deep else slot for name, slot in config.slots.items()}
    moved = {} if deep else _moved(config)
    wanted = {
        name: filling.checkpoint for name, filling in fillings.items() if filling is not None and name not in moved
    }
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
    known = {slot: found.get(slot) or served[slot] for slot in wanted} | moved
    return {slot: known[slot] for slot in fillings if slot in known}


def todays_lexicon(config: Config) -> Lexicon:
    """The lexicon of this configuration; `RunError` when it cannot be read."""
    try:
        return read_lexicons(config.lexicons_directory, today=datetime.now(UTC).date())
    except LexiconError as error:
        raise RunError(f"lexicons: {error}") from None


def _moved(config: Config) -> dict[str, Sha256]:
    """Slot -> digest of its active checkpoint, of the slots that the registry names."""
    try:
        registry = read_state(Storage(config.store)).registry
    except RegistryError as error:
        raise RunError(str(error)) from None
    filled = registry.slots.items() if registry else ()
    return {slot: filling.active.digest for slot, filling in filled if slot in config.slots}


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
