"""A person's SQL condition: taken only as one expression, so that it stays within the query that it stands in."""

from __future__ import annotations

import json
from typing import Any

import duckdb

from workers.runs.store import RunError


class WrongSelection(RunError):
    """What was asked for makes no sense as it is written; one line."""


def check_condition(condition: str) -> None:
    """Raises `WrongSelection` for what is not one expression, be it in parentheses or not: neither `a LIMIT 3` and
    `a; DROP …`, nor `a) OR (b`.
    """
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as lone:
        for around in ("SELECT (\n{}\n)", "SELECT\n{}\n"):
            tree, plain = (_parsed(lone, around.format(part)) for part in (condition, "true"))
            if tree["error"]:
                raise WrongSelection(f"--where: {' '.join(str(tree['error_message']).split())}")
            items = tree["statements"][0]["node"].get("select_list", ())
            if len(items) != 1 or _around(tree) != _around(plain):
                raise WrongSelection("--where: give one condition, as it would stand after WHERE, and nothing after it")


def _parsed(connection: duckdb.DuckDBPyConnection, statement: str) -> dict[str, Any]:
    row = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    tree: dict[str, Any] = json.loads(row[0] if row else "{}")
    return tree


def _around(tree: dict[str, Any]) -> list[dict[str, object]]:
    """The statements but for the items selected."""
    return [
        {**statement, "node": {name: part for name, part in statement["node"].items() if name != "select_list"}}
        for statement in tree["statements"]
    ]
