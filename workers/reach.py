"""What a message can name in the store: media, and nothing that the pool keeps for itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

OWN_FOLDERS = frozenset({"audit", "evidence", "probe", "quarantine", "records", "registry", "runs", "tables"})
"""What the pool keeps for itself at the top of the bucket."""


def within(key: str, media_prefix: str) -> bool:
    """Whether the key lies below the prefix as it stands: stores resolve empty and dotted steps as they like."""
    return key.startswith(media_prefix) and not {"", ".", ".."} & set(key.split("/"))


def _of_media_alone(prefix: str) -> str:
    if (first := prefix.partition("/")[0]) in OWN_FOLDERS:
        raise ValueError(f"{first}/ is the pool's own: a manifest could name what is no media")
    return prefix


MediaPrefix = Annotated[
    str, StringConstraints(pattern=r"^([A-Za-z0-9][A-Za-z0-9._=-]*/)+$"), AfterValidator(_of_media_alone)
]
"""A folder of the bucket, or one within it, with its slash."""
