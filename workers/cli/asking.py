"""Who gives a command: what plans, marks and requests keep as `by`, and the audit log as `who`."""

from __future__ import annotations

import getpass
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import JsonValue

    from workers.audit import Result
    from workers.storage import Storage


def asking() -> str:
    """`user@host`; where the system knows no user, as in some containers, only the host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        return platform.node()
    return f"{user}@{platform.node()}"


@contextmanager
def on_record(storage: Storage, target: str, **details: JsonValue) -> Iterator[Result]:
    """The body changes something: the audit log says that this command began, under its own name, and how it ended."""
    from workers.audit import audited

    with audited(storage, asking(), _command(click.get_current_context()), target, **details) as result:
        yield result


def _command(context: click.Context) -> str:
    """The command as it was typed after the program's name, without options."""
    names = []
    while context.parent is not None:
        names.append(context.info_name or "")
        context = context.parent
    return " ".join(reversed(names))
