"""Who gives a command: what plans, marks and requests keep as `by`."""

from __future__ import annotations

import getpass
import platform


def asking() -> str:
    """`user@host`; where the system knows no user, as in some containers, only the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        return platform.node()
    return f"{user}@{platform.node()}"
