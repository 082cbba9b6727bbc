"""What the feeder's messages say, how each is named, and how one is told from another in a lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import Field, JsonValue, ValidationError

from pipelines.manifest import one_line
from pipelines.strict import Identifier, Strict

Call = TypeVar("Call", bound=Strict)


class MessageError(ValueError):
    """The arguments are none of this task's; one line."""


class SegmentCall(Strict):
    """One segment of a run: `liverisk.reexamine`. `index` counts from 0 within the batch."""

    run: Identifier
    batch: int = Field(ge=1)
    index: int = Field(ge=0)


class BatchCall(Strict):
    """One batch of a run: `liverisk.conclude`."""

    run: Identifier
    batch: int = Field(ge=1)


def segment_call(arguments: Sequence[JsonValue], named: Mapping[str, JsonValue]) -> SegmentCall:
    """The segment that the arguments name; `MessageError` when they name none."""
    return _called(SegmentCall, arguments, named)


def batch_call(arguments: Sequence[JsonValue], named: Mapping[str, JsonValue]) -> BatchCall:
    """The batch that the arguments name; `MessageError` when they name none."""
    return _called(BatchCall, arguments, named)


def segment_task(run: str, batch: int, index: int) -> str:
    """The task id of one segment's re-examination, which is also the name that its attempts are counted under."""
    return f"{run}/{batch}/{index}"


def batch_task(run: str, batch: int) -> str:
    """The task id of one batch's conclusion."""
    return f"{run}/{batch}"


def _called(kind: type[Call], arguments: Sequence[JsonValue], named: Mapping[str, JsonValue]) -> Call:
    names = list(kind.model_fields)
    if len(arguments) > len(names):
        raise MessageError(f"{len(arguments)} arguments, not {len(names)}")
    try:
        return kind.model_validate({**dict(zip(names, arguments, strict=False)), **named}, strict=True)
    except ValidationError as error:
        raise MessageError(one_line(error)) from None
