"""What a checkpoint must be before it may be moved anywhere: here, whole, as pinned, and made for the slot."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.cards import Card, CardError, read_card
from pipelines.checkpoints import CheckpointError, Lock, standing
from pipelines.checkpoints.folder import digest_of
from pipelines.checkpoints.lock import LOCK_FILE
from pipelines.checkpoints.verification import pins, slot_findings, unspoken
from workers.config import Config
from workers.engine.bases import needed_bytes
from workers.registry.slots import Named, SlotFilling
from workers.registry.store import RegistryError, read_state
from workers.storage import Storage


def verified(config: Config, slot: str, checkpoint: str) -> Named:
    """The checkpoint with its digest, every file hashed; `RegistryError` says in one line why it must not be used."""
    card = _card(config, checkpoint)
    wrong = slot_findings(card, slot)
    if wrong:
        raise RegistryError(f"{checkpoint}: {wrong[0]}")
    try:
        stands = standing(card, config.models, Lock(config.cards_directory / LOCK_FILE))
    except (CheckpointError, OSError) as error:
        raise RegistryError(f"{checkpoint}: {error}") from None
    if stands.findings:
        raise RegistryError(f"{checkpoint}: {stands.findings[0]}")
    if stands.digest is None:
        why = "is not pulled here" if stands.state == "not pulled" else "is pinned by nobody, neither card nor lock"
        raise RegistryError(f"{checkpoint}: {why}; `liverisk models pull {checkpoint}`")
    return Named(id=checkpoint, digest=stands.digest)


def configured(config: Config, slot: str) -> Named:
    """What the configuration fills the slot with, by its pins where it has them, else as it lies here."""
    if slot not in config.slots:
        raise RegistryError(f"there is no slot {slot}; the configuration has {', '.join(config.slots)}")
    checkpoint = config.slots[slot].checkpoint
    card, lock = _card(config, checkpoint), Lock(config.cards_directory / LOCK_FILE)
    try:
        pinned = pins(card, lock.entry(card.id))
        digest = digest_of(card, pinned) if pinned else standing(card, config.models, lock).digest
    except (CheckpointError, OSError) as error:
        raise RegistryError(f"{checkpoint}: {error}") from None
    if digest is None:
        raise RegistryError(f"{checkpoint}: its digest is not known here; `liverisk models pull {checkpoint}`")
    return Named(id=checkpoint, digest=digest)


def filling_of(config: Config, slot: str) -> SlotFilling:
    """Who fills the slot now: what the registry says, or else the configuration."""
    return read_state(Storage(config.store)).filling(slot) or SlotFilling(active=configured(config, slot))


def lost_policies(config: Config, slot: str, before: Named, after: Named) -> tuple[str, ...]:
    """The policies of which nothing speaks any more when one checkpoint of the slot follows the other."""
    others = [_card(config, one.checkpoint) for name, one in config.slots.items() if name != slot]
    silent = set(unspoken([*others, _card(config, before.id)]))
    return tuple(policy for policy in unspoken([*others, _card(config, after.id)]) if policy not in silent)


def loading_bytes(config: Config, checkpoint: Named, held: Collection[str]) -> int:
    """What an engine that holds these bases needs to load it beside what it has, at least."""
    return needed_bytes(config, _card(config, checkpoint.id), held)


def _card(config: Config, checkpoint: str) -> Card:
    folder = config.cards_directory / checkpoint
    if not (folder / "README.md").is_file():
        known = ", ".join(sorted(path.parent.name for path in config.cards_directory.glob("*/README.md")))
        raise RegistryError(f"no card named {checkpoint}; there are {known}")
    try:
        return read_card(folder)
    except CardError as error:
        raise RegistryError(str(error)) from None
