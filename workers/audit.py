"""The audit log: who had what changed, when, and how it ended. Objects that are written once and never removed.

    audit/date=2026-03-10/200301.123456-3f0c2a1b/began.json
    audit/date=2026-03-10/200301.123456-3f0c2a1b/ended.json
    audit/policies/<digest>.json

The beginning is written before anything is changed, so no change goes unlogged; an entry without an end is of a command
that died. `docs/privacy.md` says how a store is told to refuse even its owner to change them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import Literal

from pydantic import AwareDatetime, Field, JsonValue, ValidationError

from pipelines.manifest import one_line
from pipelines.policies import Policies
from pipelines.strict import Strict
from workers.storage import Storage, StorageError

PREFIX = "audit/"
POLICIES_PREFIX = f"{PREFIX}policies/"
READERS = 8


class AuditError(Exception):
    """An entry cannot be read as one; one line."""


class Began(Strict):
    """`command` as it is typed, `target` what it was about; `details` its other words, never content."""

    schema_id: Literal["liverisk.audit"] = Field(default="liverisk.audit", alias="schema")
    version: Literal[1] = 1
    at: AwareDatetime
    who: str = Field(max_length=512)
    command: str
    target: str = ""
    details: dict[str, JsonValue] = {}
    program: str


class Ended(Strict):
    """`outcome`: done, or the name of what stopped it; `result` is what came of it, in numbers and names."""

    at: AwareDatetime
    outcome: str
    result: dict[str, JsonValue] = {}


class Entry(Strict):
    """`ended` None: it runs still, or died."""

    id: str
    began: Began
    ended: Ended | None = None


Result = dict[str, JsonValue]
"""What the body of `audited` adds for the end's `result`."""


@contextmanager
def audited(storage: Storage, who: str, command: str, target: str = "", **details: JsonValue) -> Iterator[Result]:
    """Notes that the body begins and how it ends. `StorageError`, before it begins, when that cannot be noted."""
    at = datetime.now(UTC)
    key = f"{PREFIX}date={at:%F}/{at:%H%M%S.%f}-{uuid.uuid4().hex[:8]}"
    said = {name: value for name, value in details.items() if value not in (None, "", False, [])}
    began = Began(at=at, who=who[:512], command=command, target=target, details=said, program=version("liverisk"))
    _put(storage, f"{key}/began.json", began)
    result: Result = {}
    outcome = "done"
    try:
        yield result
    except BaseException as error:
        outcome = type(error).__name__
        raise
    finally:
        with suppress(StorageError):  # what was done stands; the entry then says that its end is not known
            _put(storage, f"{key}/ended.json", Ended(at=datetime.now(UTC), outcome=outcome, result=result))


def keep_policies(storage: Storage, policies: Policies) -> bool:
    """Keeps the policies' text under their digest, as records name them; True when nobody had before."""
    key = f"{POLICIES_PREFIX}{policies.digest}.json"
    if storage.exists(key):
        return False
    return storage.put_once(key, policies.model_dump_json(indent=1).encode(), content_type="application/json")


def entries(storage: Storage, since: datetime | None = None, until: datetime | None = None) -> Iterator[Entry]:
    """Every entry that began in [since, until), the first one first. `AuditError` for one that cannot be read."""
    days = [day for day in storage.folders(f"{PREFIX}date=") if _touches(day, since, until)]
    with ThreadPoolExecutor(READERS) as pool:
        for day in days:
            keys = list(storage.keys(day))
            begun = [key.removesuffix("/began.json") for key in keys if key.endswith("/began.json")]
            for entry in pool.map(partial(_read, storage, keys), begun):
                if (since is None or since <= entry.began.at) and (until is None or entry.began.at < until):
                    yield entry


def _touches(folder: str, since: datetime | None, until: datetime | None) -> bool:
    day = folder.removeprefix(f"{PREFIX}date=").rstrip("/")
    return (since is None or f"{since.astimezone(UTC):%F}" <= day) and (
        until is None or day <= f"{until.astimezone(UTC):%F}"
    )


def _read(storage: Storage, keys: Sequence[str], key: str) -> Entry:
    try:
        began = Began.model_validate_json(storage.get(f"{key}/began.json"))
        ended = None
        if f"{key}/ended.json" in keys:
            ended = Ended.model_validate_json(storage.get(f"{key}/ended.json"))
    except ValidationError as error:
        raise AuditError(f"{key}: not a readable entry ({one_line(error)})") from None
    return Entry(id=key.removeprefix(PREFIX), began=began, ended=ended)


def _put(storage: Storage, key: str, value: Began | Ended) -> None:
    body = value.model_dump_json(by_alias=True, exclude_none=True).encode()
    storage.put_once(key, body, content_type="application/json")
