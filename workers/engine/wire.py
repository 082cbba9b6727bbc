"""How asks and answers travel between workers and engine: MessagePack, arrays as raw bytes. Never pickle.

One request, one reply, in turn, on one connection of `multiprocessing.connection` used for bytes only.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgpack
import numpy as np
from pydantic import Field, TypeAdapter

from pipelines.embeddings import Embedding
from pipelines.items import (
    CheckpointRef,
    Clip,
    Failure,
    Item,
    Line,
    Picture,
    Result,
    Scores,
    ScreenText,
    Seen,
    Transcript,
)
from pipelines.manifest import Profile
from pipelines.strict import Sha256, Strict

MAX_MESSAGE_BYTES = 512 * 1024 * 1024


class WireError(ValueError):
    """The other side sent something that is no message of this protocol."""


class Hello(Strict):
    """Which checkpoints fill the slots, and is the engine ready? `attach`: count me among those you live for."""

    op: Literal["hello"] = "hello"
    attach: bool = False


class Start(Strict):
    """A segment starts: which checkpoints are its own? `digests`: those that its run was planned with, by slot."""

    op: Literal["start"] = "start"
    stream_id: str
    profile: Profile = "live"
    digests: dict[str, Sha256] | None = None
    remaining_s: float | None = None


class End(Strict):
    """The segment asks no more."""

    op: Literal["end"] = "end"
    lease: int


class Ask(Strict):
    """The items travel beside this head."""

    op: Literal["ask"] = "ask"
    slot: str
    digest: str
    lane: str
    remaining_s: float | None = Field(description="until the deadline; clocks of two processes are never compared")
    lease: int | None = Field(default=None, description="the segment that asks")


class Quiet(Strict):
    """Answered, with no results, when no live ask is in flight, or after `within_s`."""

    op: Literal["quiet"] = "quiet"
    within_s: float = Field(ge=0, le=600)


Head = Hello | Start | End | Ask | Quiet
Request = Annotated[Head, Field(discriminator="op")]
_REQUEST: TypeAdapter[Head] = TypeAdapter(Request)

RefusalReason = Literal["loading", "deadline", "checkpoint_gone", "unknown_slot", "bad_request", "stopping"]


class Refusal(Strict):
    reason: RefusalReason
    detail: str = ""


class Given(Strict):
    """A segment's checkpoints from its start to its end, and those that are asked beside."""

    lease: int
    checkpoints: dict[str, CheckpointRef]
    shadows: dict[str, CheckpointRef] = {}


class SlotStatus(Strict):
    checkpoint: CheckpointRef
    batches: int = 0
    items: int = 0
    failed: int = 0
    waiting: int = 0
    busy_s: float = 0
    bulk_items: int = 0
    bulk_busy_s: float = 0
    rescored: int = Field(default=0, description="items whose stored embedding was scored: no encoder ran for them")


class EngineStatus(Strict):
    """What an engine says of itself. `progress` is the last line of its loading.

    `deep`: the slots where deep reviews ask another checkpoint; `canary`, `shadow` and `kept` likewise.
    `registry` is the version of the registry that it serves, as far as `problems` (slot -> why not) let it.
    """

    ready: bool
    pid: int
    device: str
    rss_bytes: int
    uptime_s: float
    attached: int = 0
    progress: str = ""
    slots: dict[str, SlotStatus] = {}
    deep: dict[str, SlotStatus] = {}
    canary: dict[str, SlotStatus] = {}
    shadow: dict[str, SlotStatus] = {}
    kept: dict[str, SlotStatus] = {}
    shares: dict[str, float] = {}
    registry: int | None = None
    problems: dict[str, str] = {}


_RESULT: Mapping[str, type[Scores] | type[Transcript] | type[ScreenText] | type[Failure]] = {
    "scores": Scores,
    "transcript": Transcript,
    "screen": ScreenText,
    "failure": Failure,
}
_RESULT_NAMES = {kind: name for name, kind in _RESULT.items()}


def deadline_in(remaining_s: float | None) -> float | None:
    """On `time.monotonic`'s clock of this process."""
    return None if remaining_s is None else time.monotonic() + remaining_s


def pack_request(head: Head, items: Sequence[Item] = ()) -> bytes:
    return _packed({"head": head.model_dump(), "items": [_item_fields(item) for item in items]})


def unpack_request(message: bytes) -> tuple[Head, Sequence[Item]]:
    """The request; `WireError` when it is none."""
    try:
        content = _unpacked(message)
        return _REQUEST.validate_python(content["head"]), [_item(fields) for fields in content["items"]]
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise WireError(type(error).__name__) from None


Reply = Refusal | EngineStatus | Given | Sequence[Result]


def pack_reply(reply: Reply) -> bytes:
    match reply:
        case Refusal():
            return _packed({"refusal": reply.model_dump()})
        case EngineStatus():
            return _packed({"status": reply.model_dump()})
        case Given():
            return _packed({"given": reply.model_dump()})
        case _:
            return _packed({"results": [[_RESULT_NAMES[type(result)], result.model_dump()] for result in reply]})


def unpack_reply(message: bytes) -> Reply:
    try:
        content = _unpacked(message)
        if "refusal" in content:
            return Refusal.model_validate(content["refusal"])
        if "status" in content:
            return EngineStatus.model_validate(content["status"])
        if "given" in content:
            return Given.model_validate(content["given"])
        return [_RESULT[name].model_validate(fields) for name, fields in content["results"]]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise WireError(type(error).__name__) from None


def _packed(content: Mapping[str, object]) -> bytes:
    message: bytes = msgpack.packb(content, use_bin_type=True)
    return message


def _unpacked(message: bytes) -> dict[str, Any]:
    content = msgpack.unpackb(message, raw=False, max_bin_len=MAX_MESSAGE_BYTES)
    if not isinstance(content, dict):
        raise WireError("not a mapping")
    return content


def _item_fields(item: Item) -> dict[str, object]:
    match item:
        case Picture(pixels, all_text, keep):
            height, width = pixels.shape[:2]
            shape = {"height": height, "width": width}
            return {"picture": pixels.tobytes(), **shape, "all_text": all_text, **({"keep": True} if keep else {})}
        case Seen(embedding):
            return {"seen": embedding.model_dump()}
        case Clip(samples, language, beam_size, by_sentence):
            head = {"language": language, "beam_size": beam_size, "by_sentence": by_sentence}
            return {"clip": samples.tobytes(), **head}
        case Line(text, keep, embedding):
            known = embedding.model_dump() if embedding is not None else None
            return {"line": text} | ({"keep": keep, "embedding": known} if keep or known else {})


def _item(fields: Mapping[str, Any]) -> Item:
    if "picture" in fields:
        pixels = np.frombuffer(fields["picture"], dtype=np.uint8)
        shaped = pixels.reshape(int(fields["height"]), int(fields["width"]), 3)
        return Picture(shaped, all_text=bool(fields.get("all_text", False)), keep=bool(fields.get("keep", False)))
    if "seen" in fields:
        return Seen(Embedding.model_validate(fields["seen"]))
    if "clip" in fields:
        beam_size = fields.get("beam_size")
        return Clip(
            np.frombuffer(fields["clip"], dtype=np.float32),
            fields["language"],
            int(beam_size) if beam_size else None,
            by_sentence=bool(fields.get("by_sentence", False)),
        )
    known = fields.get("embedding")
    return Line(
        str(fields["line"]),
        keep=bool(fields.get("keep", False)),
        embedding=Embedding.model_validate(known) if known else None,
    )
