"""What the registry holds: per slot who fills it, who is tried beside, and the move that made it so.

registry/slots.json             the state, with the last move
registry/history/00000001.json  every move, written once
"""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, ConfigDict, Field

from pipelines.strict import Identifier, Sha256, Strict

Step = Literal["shadow", "canary", "promote", "rollback", "clear", "withdraw"]
"""`withdraw` undoes a move that an engine could not take in."""
STEPS: tuple[Step, ...] = get_args(Step)


class Named(Strict):
    """A checkpoint by its card and the digest over its files; what runs it is each engine's to say."""

    id: Identifier
    digest: Sha256

    def __str__(self) -> str:
        return f"{self.id}@{self.digest[:12]}"


class SlotFilling(Strict):
    """`active` serves; `previous` did before it; `shadow` scores beside; `canary` serves `share` percent of streams."""

    active: Named
    previous: Named | None = None
    shadow: Named | None = None
    canary: Named | None = None
    share: float = Field(default=0, ge=0, le=100)

    def __str__(self) -> str:
        beside = [f"{self.canary} for {self.share:g} % of streams"] if self.canary else []
        beside += [f"shadow {self.shadow}"] if self.shadow else []
        return ", ".join((str(self.active), *beside))

    @property
    def named(self) -> tuple[Named, ...]:
        """Every checkpoint that an engine has to have for it."""
        return tuple(one for one in (self.active, self.canary, self.shadow) if one is not None)


class Move(Strict):
    """One step on one slot. `before` and `after` None: the configuration decided, or decides again."""

    model_config = ConfigDict(populate_by_name=True)

    version: int = Field(ge=1)
    at: AwareDatetime
    who: str = Field(max_length=256)
    why: str = Field(default="", max_length=2000)
    step: Step
    slot: str
    before: SlotFilling | None = Field(default=None, alias="from")
    after: SlotFilling | None = Field(default=None, alias="to")
    drain: bool = Field(default=False, description="engines short of memory free the old one before they load")

    def __str__(self) -> str:
        was, becomes = (str(one) if one else "as configured" for one in (self.before, self.after))
        return f"{self.step} {self.slot}: {was} -> {becomes}"


class Registry(Strict):
    """The state after `version` moves. Slots that it does not name are filled by the configuration."""

    model_config = ConfigDict(populate_by_name=True)

    schema_id: Literal["liverisk.registry"] = Field(default="liverisk.registry", alias="schema")
    version: int = Field(ge=1)
    slots: dict[str, SlotFilling] = {}
    last: Move
