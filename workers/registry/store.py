"""The registry in the store: read whole, changed by conditional write, every move kept.

A move is in the state object before it is in the history. Whoever reads a state whose history lacks its move writes
that one, and nobody writes the next state before: so a death between the two writes loses nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from pipelines.manifest import one_line
from workers.registry.slots import Move, Registry, SlotFilling
from workers.storage import BucketMissing, ObjectMissing, Storage

KEY = "registry/slots.json"
HISTORY = "registry/history/"
READERS = 8


class RegistryError(Exception):
    """The registry cannot be read or moved as asked; one line."""


class MovedMeanwhile(RegistryError):
    """Somebody else's move came first."""


@dataclass(frozen=True, slots=True)
class State:
    """What was read. `registry` None: there is none, and the configuration decides."""

    registry: Registry | None = None
    etag: str | None = None

    @property
    def version(self) -> int:
        return self.registry.version if self.registry else 0

    def filling(self, slot: str) -> SlotFilling | None:
        return self.registry.slots.get(slot) if self.registry else None


def read_state(storage: Storage) -> State:
    """The state now; `RegistryError` when it cannot be read as one, `StorageError` when the store is away."""
    try:
        raw, etag = storage.get_with_etag(KEY)
    except (ObjectMissing, BucketMissing):
        return State()
    try:
        return State(Registry.model_validate_json(raw), etag)
    except ValidationError as error:
        raise RegistryError(f"{KEY}: unreadable ({one_line(error)})") from None


def note_history(storage: Storage, registry: Registry) -> None:
    """Writes the last move into the history unless it is there."""
    storage.put_once(_history_key(registry.version), _body(registry.last), content_type="application/json")


def write_move(storage: Storage, state: State, move: Move) -> Registry:
    """The registry with the move in it; `MovedMeanwhile` when it is no longer as `state` says."""
    if state.registry is not None:
        note_history(storage, state.registry)
    slots = dict(state.registry.slots) if state.registry else {}
    slots.pop(move.slot, None)
    if move.after is not None:
        slots[move.slot] = move.after
    registry = Registry(version=move.version, slots=dict(sorted(slots.items())), last=move)
    body = _body(registry)
    if state.etag is None:
        done = storage.put_once(KEY, body, content_type="application/json")
    else:
        done = storage.replace(KEY, body, etag=state.etag, content_type="application/json")
    if not done:
        found = read_state(storage).registry
        first = f": {found.last} by {found.last.who}" if found else ""
        raise MovedMeanwhile(f"another move came first{first}; look at `liverisk models slots` and decide again")
    note_history(storage, registry)
    return registry


def history(storage: Storage) -> tuple[Move, ...]:
    """Every move, the first one first."""
    state = read_state(storage)
    if state.registry is None:
        return ()
    note_history(storage, state.registry)
    with ThreadPoolExecutor(READERS) as pool:
        return tuple(pool.map(partial(_read_move, storage), storage.keys(HISTORY)))


def _history_key(version: int) -> str:
    return f"{HISTORY}{version:08d}.json"


def _read_move(storage: Storage, key: str) -> Move:
    try:
        return Move.model_validate_json(storage.get(key))
    except ValidationError as error:
        raise RegistryError(f"{key}: unreadable ({one_line(error)})") from None


def _body(value: Registry | Move) -> bytes:
    return value.model_dump_json(by_alias=True, exclude_none=True).encode()
