"""The one pydantic base of every file and message format: immutable, and unknown keys are errors."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
"""Names that become part of object keys: streams, segments, runs, checkpoints."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]

YEAR_S = 366 * 86_400

Seconds = Annotated[float, Field(le=YEAR_S)]
"""A length of time; its field says how short it may be. More than a year is a mistake, far more holds no calendar."""

StreamSeconds = Annotated[float, Field(ge=-YEAR_S, le=YEAR_S)]
"""A place in a stream, from a segment's start: before it, too."""

Moment = Annotated[AwareDatetime, Field(ge=datetime(1900, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))]
"""A time with room on both sides: what is reckoned from it is on the calendar, in every zone."""

Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
"""As many as a column of a table holds."""


class Strict(BaseModel):
    """Immutable; a misspelt key is refused with its full path instead of being ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
