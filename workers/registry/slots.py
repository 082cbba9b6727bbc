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
KEPT_EARLIER = 8
"""So many checkpoints back can be gone, one rollback each."""
STEPS: tuple[Step, ...] = get_args(Step)


def _is_nothing(value: object) -> bool:
    """Whether a field adds nothing to what is stored, and is left out of it."""
    return not value


class Named(Strict):
    """A checkpoint by its card and the digest over its files; what runs it is each engine's to say."""

    id: Identifier
    digest: Sha256

    def __str__(self) -> str:
        return f"{self.id}@{self.digest[:12]}"


class SlotFilling(Strict):
    """`active` serves; `previous` did before it; `shadow` scores beside; `canary` serves `share` percent of streams.

    `earlier` served before `previous`, the latest first: where further rollbacks lead.
    """

    active: Named
    previous: Named | None = None
    earlier: tuple[Named, ...] = Field(default=(), exclude_if=_is_nothing)
    shadow: Named | None = None
    canary: Named | None = None
    share: float = Field(default=0, ge=0, le=100)

    def promoted(self, new: Named) -> SlotFilling:
        """With `new` as the active one, and without a canary; it is no shadow of itself."""
        before = (self.active, *((self.previous,) if self.previous else ()), *self.earlier)
        return SlotFilling(
            active=new,
            previous=before[0],
            earlier=before[1 : 1 + KEPT_EARLIER],
            shadow=self.shadow if self.shadow != new else None,
        )

    def rolled_back(self) -> SlotFilling | None:
        """With what served before as the active one, for which what served before that is kept; None: nothing did."""
        if self.previous is None:
            return None
        return SlotFilling(
            active=self.previous,
            previous=self.earlier[0] if self.earlier else None,
            earlier=self.earlier[1:],
            shadow=self.shadow if self.shadow != self.previous else None,
        )

    def __str__(self) -> str:
        beside = [f"{self.canary} for {self.share:g} % of streams"] if self.canary else []
        beside += [f"shadow {self.shadow}"] if self.shadow else []
        return ", ".join((str(self.active), *beside))

    @property
    def named(self) -> tuple[Named, ...]:
        """Every checkpoint that an engine has to have for it."""
        return tuple(one for one in (self.active, self.canary, self.shadow) if one is not None)


class Move(Strict):
    """One step on one slot. `before` and `after` None: the configuration decided, or decides again.

    `evaluation` is what is known of the checkpoint that it puts to use, in words. `forced` is the reason for which it
    was made against the `objections`.
    """

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
    evaluation: str = Field(default="", exclude_if=_is_nothing)
    forced: str = Field(default="", max_length=2000, exclude_if=_is_nothing)
    objections: tuple[str, ...] = Field(default=(), exclude_if=_is_nothing)

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
