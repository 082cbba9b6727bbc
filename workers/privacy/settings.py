"""The settings of privacy: names of users in records, and how long what is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipelines.strict import Strict


class Privacy(Strict):
    """How users of the chat are named in records. The key makes the names: whoever has it can find a user again."""

    user_ids: Literal["hashed", "plain"] = "hashed"
    user_key: SecretStr | None = Field(default=None, description="shared by every host; null: from user_key_file")
    user_key_file: Path | None = Field(default=None, description="null: user-ids.key in the state directory")


class Retention(Strict):
    """How long objects are kept, from when they were written; null: for ever. Held evidence and the audit log stay."""

    media_days: int | None = Field(default=30, ge=1, le=36_500)
    record_months: int | None = Field(default=12, ge=1, le=1200, description="records, tables and run reports")
    quarantine_days: int | None = Field(default=90, ge=1, le=36_500)
