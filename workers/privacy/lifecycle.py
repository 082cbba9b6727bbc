"""Lifecycle rules of a bucket: objects below a prefix are removed by the store itself, days after they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.storage import ObjectMissing, Storage

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import LifecycleRuleOutputTypeDef, LifecycleRuleTypeDef

OPERATION = "lifecycle rules"


@dataclass(frozen=True, slots=True)
class Rule:
    """`name` tells it from those of others."""

    name: str
    prefix: str
    days: int


def read_rules(storage: Storage) -> tuple[Rule, ...]:
    """Those that are in force and remove what is some days old; whatever else a rule may do is left out."""
    return tuple(
        Rule(rule.get("ID", ""), _prefix_of(rule), rule["Expiration"]["Days"])
        for rule in _stored(storage)
        if rule.get("Status") == "Enabled" and "Days" in rule.get("Expiration", {})
    )


def put_rules(storage: Storage, rules: Sequence[Rule], *, owner: str) -> None:
    """Puts these in the place of all whose name begins with `owner`; what others set stays."""
    kept = [rule for rule in _stored(storage) if not rule.get("ID", "").startswith(owner)]
    together: list[LifecycleRuleTypeDef | LifecycleRuleOutputTypeDef] = [*kept, *map(_spelt, rules)]
    with storage.calling(OPERATION) as client:
        if together:
            client.put_bucket_lifecycle_configuration(Bucket=storage.bucket, LifecycleConfiguration={"Rules": together})
        else:
            client.delete_bucket_lifecycle(Bucket=storage.bucket)


def _stored(storage: Storage) -> list[LifecycleRuleOutputTypeDef]:
    try:
        with storage.calling(OPERATION) as client:
            return client.get_bucket_lifecycle_configuration(Bucket=storage.bucket)["Rules"]
    except ObjectMissing:
        return []


def _spelt(rule: Rule) -> LifecycleRuleTypeDef:
    return {
        "ID": rule.name,
        "Status": "Enabled",
        "Filter": {"Prefix": rule.prefix},
        "Expiration": {"Days": rule.days},
    }


def _prefix_of(rule: LifecycleRuleOutputTypeDef) -> str:
    """Stores say it where it was put, or where it was put in earlier versions of S3."""
    return rule.get("Filter", {}).get("Prefix") or rule.get("Prefix", "")
