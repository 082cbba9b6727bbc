"""How long objects are kept: lifecycle rules for the store to follow, and a sweep for what it does not.

What S3 says of lifecycle rules, a store may do late, only for what is written from then on, or never; so the sweep goes
by the times that the store itself gives, and needs no rule. docs/privacy.md has what was found of which store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from workers.config import Config
from workers.privacy.lifecycle import Rule, put_rules, read_rules
from workers.storage import Storage

DAYS_IN_A_YEAR = 365
OURS = "liverisk-"


def kept_days(config: Config) -> dict[str, int | None]:
    """Prefix -> days that its objects are kept; None: for ever. What is not named here is never removed by age."""
    kept, months = config.retention, config.retention.record_months
    record_days = None if months is None else months * DAYS_IN_A_YEAR // 12
    return {
        config.store.media_prefix: kept.media_days,
        "records/": record_days,
        "tables/": record_days,
        "runs/": record_days,
        "quarantine/": kept.quarantine_days,
    }


def rules(config: Config) -> tuple[Rule, ...]:
    """The program's own rules, by names that tell them from others'."""
    return tuple(
        Rule(f"{OURS}{prefix.strip('/').replace('/', '-')}", prefix, days)
        for prefix, days in kept_days(config).items()
        if days is not None
    )


def set_rules(config: Config, storage: Storage) -> tuple[Rule, ...]:
    """Has the store keep these rules, beside those of others, and returns what it says that it keeps of ours."""
    put_rules(storage, rules(config), owner=OURS)
    return kept_rules(storage)


def kept_rules(storage: Storage) -> tuple[Rule, ...]:
    """The program's rules that the store says it keeps."""
    return tuple(rule for rule in read_rules(storage) if rule.name.startswith(OURS))


@dataclass(frozen=True, slots=True)
class Swept:
    """What was, or would be, removed: prefix -> objects."""

    objects: dict[str, int]
    bytes: int


def sweep(config: Config, storage: Storage, *, now: datetime | None = None, dry_run: bool = False) -> Swept:
    """Removes every object that is older than its prefix's days. Held evidence, audit log and registry stay."""
    moment = now or datetime.now(UTC)
    removed, size = Counter[str](), 0
    for prefix, days in kept_days(config).items():
        if days is None:
            continue
        for key, bytes_ in _older(storage, prefix, moment - timedelta(days=days)):
            removed[prefix] += 1
            size += bytes_
            if not dry_run:
                storage.delete(key)
    return Swept(dict(removed), size)


def _older(storage: Storage, prefix: str, than: datetime) -> Iterator[tuple[str, int]]:
    return ((one.key, one.size) for one in storage.objects(prefix) if one.written_at < than)
