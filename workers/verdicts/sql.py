"""Values spelt as SQL."""

from __future__ import annotations

from collections.abc import Iterable


def quoted(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def listed(values: Iterable[str]) -> str:
    """A list of strings."""
    return f"[{', '.join(map(quoted, values))}]"
