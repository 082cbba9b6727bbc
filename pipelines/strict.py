"""The one pydantic base of every file and message format: immutable, and unknown keys are errors."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Names that become part of object keys: streams, segments, runs, checkpoints."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """Immutable; a misspelt key is refused with its full path instead of being ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
