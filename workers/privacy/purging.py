"""A purge at work: where it looks, what it did, what it had to leave."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import redis

from workers.config import Config
from workers.storage import Storage


@dataclass(slots=True)
class Purged:
    """What was, or of a dry run would be, done: kind of object -> how many. `left` are lines for a reader."""

    dry_run: bool
    removed: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Purge:
    """Where to look. `client` None: the broker's store does not answer, and what lies there is left."""

    config: Config
    storage: Storage
    client: redis.Redis | None
    done: Purged

    @property
    def dry_run(self) -> bool:
        return self.done.dry_run

    def delete(self, key: str, kind: str) -> None:
        self.removed(kind, 1)
        if not self.dry_run:
            self.storage.delete(key)

    def replace(self, key: str, body: bytes, kind: str, content_type: str = "application/json") -> None:
        self.changed(kind, 1)
        if not self.dry_run:
            self.storage.put(key, body, content_type=content_type)

    def removed(self, kind: str, count: int) -> None:
        if count:
            self.done.removed[kind] += count

    def changed(self, kind: str, count: int) -> None:
        if count:
            self.done.changed[kind] += count

    def left(self, line: str) -> None:
        self.done.left.append(line)
