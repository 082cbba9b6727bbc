"""Takes one user's lines out of chat that lies in the store as it was sent: in objects of media, in quarantine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress

from pydantic import JsonValue

from workers.fetch import MAX_CHAT_BYTES
from workers.privacy.purging import Purge
from workers.quarantine import PREFIX as QUARANTINE
from workers.quarantine import Entry, as_json, entries
from workers.storage import ObjectMissing

NO_CHAT = (".mjpeg", ".jpg", ".jpeg", ".png", ".webp", ".flac", ".wav", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".mp4")
"""What objects of media are called that hold no chat; every other one is opened."""


def purge_chat(purge: Purge, user: str) -> None:
    """Rewrites every chat object that has lines of the user."""
    for stored in list(purge.storage.objects(purge.config.store.media_prefix)):
        if stored.key.endswith(NO_CHAT):
            continue
        if stored.size > MAX_CHAT_BYTES:
            purge.left(f"{stored.key} is larger than any chat and was not opened")
            continue
        with suppress(ObjectMissing):
            lines = purge.storage.get(stored.key).split(b"\n")
            kept = [line for line in lines if _user_of(line) != user]
            if len(kept) < len(lines):
                purge.changed("chat lines", len(lines) - len(kept))
                purge.replace(stored.key, b"\n".join(kept), "chat objects", "application/jsonl")


def purge_quarantined_chat(purge: Purge, user: str) -> None:
    """Rewrites every quarantined message that has lines of the user."""
    for name, entry in entries(purge.storage, lambda error: purge.left(f"quarantine entry {error}")):
        try:
            _purge_entry(purge, name, entry, user)
        except (ValueError, RecursionError) as error:
            purge.left(f"quarantine entry {name} cannot be looked through ({type(error).__name__})")


def _purge_entry(purge: Purge, name: str, entry: Entry, user: str) -> None:
    message = json.loads(entry.message)
    kept = _without(message, user)
    if kept != message:
        after = entry.model_copy(update={"message": as_json(kept)})
        purge.replace(f"{QUARANTINE}{name}.json", after.model_dump_json(indent=1).encode(), "quarantine entries")
    if any(value == user for value in _texts(kept)):
        purge.left(f"quarantine entry {name} names the user where no chat line should")


def _user_of(line: bytes) -> object:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found.get("user") if isinstance(found, dict) else None


def _without(tree: JsonValue, user: str) -> JsonValue:
    """The message with every list rid of the user's lines."""
    if isinstance(tree, dict):
        return {name: _without(value, user) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_without(one, user) for one in tree if not (isinstance(one, dict) and one.get("user") == user)]
    return tree


def _texts(tree: JsonValue) -> Iterator[str]:
    children = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    for child in children:
        yield from _texts(child)
    if isinstance(tree, str):
        yield tree
