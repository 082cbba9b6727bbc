"""Engines as their hosts last reported them: read by whoever shows them, be it of another version."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Checkpoint(BaseModel):
    """As a heartbeat names it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str = "unknown"
    digest: str = ""
    session: str = ""


class Slot(BaseModel):
    """One slot of an engine since the engine started; `waiting` items are in its queue."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    checkpoint: Checkpoint = Checkpoint()
    batches: int = 0
    items: int = 0
    failed: int = 0
    waiting: int = 0
    busy_s: float = 0
    bulk_busy_s: float = 0


class Engine(BaseModel):
    """One engine as its host last reported it. Fields that this version does not know are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    host: str = "unknown"
    ready: bool = False
    device: str = "unknown"
    pid: int | None = None
    rss_bytes: int | None = None
    attached: int | None = None
    progress: str = ""
    slots: dict[str, Slot] = {}
    deep: dict[str, Slot] = {}
    canary: dict[str, Slot] = {}
    shadow: dict[str, Slot] = {}
    kept: dict[str, Slot] = {}
    shares: dict[str, float] = {}
    registry: int | None = None
    problems: dict[str, str] = {}
    readable: bool = True


def parse_engine(host: str, raw: bytes) -> Engine:
    """The engine that a heartbeat describes; one that cannot be read is there, not ready and not readable."""
    try:
        return Engine.model_validate_json(raw)
    except ValidationError:
        return Engine(host=host, readable=False)
