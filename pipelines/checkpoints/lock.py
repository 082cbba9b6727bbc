"""The lock file: what was pulled for the cards that could not pin it themselves.

The first pull of such a card writes the revision and every sha256 it got; every later pull, here or
elsewhere, must match. The file belongs in version control beside the cards.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from pipelines.checkpoints.folder import CheckpointError
from pipelines.manifest import one_line
from pipelines.strict import Identifier, Sha256, Strict

LOCK_FILE = "models.lock.json"


class Locked(Strict):
    """One pulled checkpoint: the source that gave it, its revision where it has one, and every file's sha256."""

    source: str
    revision: str | None = None
    files: dict[str, Sha256]


class LockContent(Strict):
    version: Literal[1] = 1
    checkpoints: dict[Identifier, Locked] = {}


class Lock:
    """The lock file at `path`; it need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def entry(self, card_id: str) -> Locked | None:
        return self._read().checkpoints.get(card_id)

    def write(self, card_id: str, locked: Locked) -> None:
        """Adds or replaces one entry; safe beside other processes that write other entries."""
        try:
            with alone(self.path.with_name(f".{self.path.name}.lock")):
                checkpoints = dict(self._read().checkpoints) | {card_id: locked}
                content = LockContent(checkpoints=dict(sorted(checkpoints.items())))
                partial = self.path.with_name(f".{self.path.name}.{os.getpid()}")
                partial.write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
                partial.replace(self.path)
        except OSError as error:
            raise CheckpointError(
                f"{card_id}: cannot write {self.path} ({type(error).__name__}); pull where it can be written"
            ) from None

    def _read(self) -> LockContent:
        try:
            return LockContent.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return LockContent()
        except ValidationError as error:
            raise CheckpointError(f"{self.path}: {one_line(error)}") from None
        except OSError as error:
            raise CheckpointError(f"{self.path}: unreadable ({type(error).__name__})") from None


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds an exclusive lock between processes; the kernel frees it when its holder dies."""
    with path.open("wb") as file:
        flock(file, LOCK_EX)
        yield
