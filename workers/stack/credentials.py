"""Passwords of the embedded stack: made at first start, kept in a file that only its owner can read."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from pipelines.strict import Strict

FILE = "credentials.json"


class Credentials(Strict):
    broker_password: str
    access_key: str
    secret_key: str


def credentials_in(state_directory: Path) -> Credentials:
    """Those of an earlier start, or new ones."""
    path = state_directory / FILE
    if path.exists():
        return Credentials.model_validate_json(path.read_text(encoding="utf-8"))
    made = Credentials(
        broker_password=secrets.token_urlsafe(24),
        access_key=secrets.token_hex(10),
        secret_key=secrets.token_urlsafe(30),
    )
    write_private(path, made.model_dump_json())
    return made


def write_private(path: Path, content: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    partial.replace(path)


def identities(credentials: Credentials) -> str:
    """SeaweedFS's identities file: one identity that may do everything in this store."""
    return json.dumps(
        {
            "identities": [
                {
                    "name": "liverisk",
                    "credentials": [{"accessKey": credentials.access_key, "secretKey": credentials.secret_key}],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                }
            ]
        }
    )
