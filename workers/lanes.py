"""The lanes in which segments wait, most urgent first, each a queue of the same name, and what is sent there."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import JsonValue

Lane = Literal["live", "review", "rescan"]
LANES: tuple[Lane, ...] = get_args(Lane)

CLASSIFY = "liverisk.classify"
"""The task that examines a segment. Its name is contract: clients in any language send it."""

REEXAMINE = "liverisk.reexamine"
"""Runs the models that a review or rescan asks for on one of its segments. Sent by the feeder."""

CONCLUDE = "liverisk.conclude"
"""Fuses one batch of a review or rescan and writes its records. Sent by the feeder."""

REVIEW = "liverisk.review"
"""Asks for a deep review of a stream. Its name is contract, as that of `liverisk.classify`."""


LATEST_EPOCH_S = 1e12


def epoch_s(said: object) -> float | None:
    """The epoch seconds that a sender put into a header; None when it is no such number."""
    if isinstance(said, bool) or not isinstance(said, int | float) or not abs(said) < LATEST_EPOCH_S:
        return None
    return float(said)


def message_in(arguments: tuple[JsonValue, ...], named: dict[str, JsonValue], *, name: str = "manifest") -> JsonValue:
    """The manifest, sent as the one argument. Anything else is passed on whole: it is put aside, not dropped."""
    if len(arguments) == 1 and not named:
        return arguments[0]
    if not arguments and set(named) == {name}:
        return named[name]
    return {"args": list(arguments), "kwargs": named}
