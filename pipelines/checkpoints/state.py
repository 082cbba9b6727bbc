"""How a checkpoint stands on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.cards import Card
from pipelines.checkpoints.folder import digest_of, entries
from pipelines.checkpoints.lock import Lock
from pipelines.checkpoints.verification import Finding, card_findings, inspect, pins
from pipelines.strict import Sha256

State = Literal["ready", "not pulled", "damaged", "unverified"]
"""`unverified`: its folder is there, but neither the card nor the lock file says what its files must be."""


@dataclass(frozen=True)
class Standing:
    """`findings` is why it is damaged; `digest` is None unless ready; `size` is its bytes on disk."""

    state: State
    findings: tuple[Finding, ...] = ()
    digest: Sha256 | None = None
    size: int = 0


def standing(card: Card, models_directory: Path, lock: Lock) -> Standing:
    """Hashes the checkpoint's folder, if there is one, and the card's artefacts."""
    folder = models_directory / card.id
    wrong = tuple(card_findings(card))
    if not folder.is_dir():
        return Standing("damaged" if wrong else "not pulled", wrong)
    locked = lock.entry(card.id)
    inspection = inspect(card, folder, locked)
    size = sum(path.lstat().st_size for path in entries(folder).values())
    findings = (*wrong, *inspection.findings)
    if findings:
        return Standing("damaged", findings, size=size)
    if not pins(card, locked):
        return Standing("unverified", size=size)
    return Standing("ready", digest=digest_of(card, inspection.sums), size=size)
