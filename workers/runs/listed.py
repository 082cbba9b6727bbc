"""A list of segments as people and programs write one down: what a rescan's selection is read from."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from pipelines.strict import Identifier
from workers.records import place_of
from workers.runs.condition import WrongSelection
from workers.runs.selection import Segment

_NAMES = TypeAdapter(tuple[Identifier, Identifier])
_COLUMNS = {"stream_id", "segment_id"}


def read_segments(name: str, content: bytes) -> frozenset[Segment]:
    """The segments listed in a file; `WrongSelection` names the line, as `file:line`, that is none.

    A line is `stream/segment`, `stream segment`, a record's key, or a JSON object with `stream_id` and `segment_id`.
    CSV whose header has these two is read by its columns: what `verdicts query --json` and `--csv` print will do.
    """
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise WrongSelection(f"{name}:{line}: is not UTF-8 text") from None
    try:
        return frozenset(_checked(name, lines))
    except csv.Error:
        raise WrongSelection(f"{name}: is no CSV that can be read") from None


def _checked(name: str, lines: list[str]) -> Iterator[Segment]:
    for number, names in _columns(lines) if _is_table(lines) else _rows(lines):
        try:
            yield _NAMES.validate_python(names)
        except ValidationError:
            raise WrongSelection(f"{name}:{number}: is no stream and segment id, as in room-1/seg-000001") from None


def _is_table(lines: list[str]) -> bool:
    return bool(lines) and set(next(csv.reader(lines[:1]))) >= _COLUMNS


def _columns(lines: list[str]) -> Iterator[tuple[int, object]]:
    reader = csv.DictReader(lines)
    for row in reader:
        yield reader.line_num, (row["stream_id"], row["segment_id"])


def _rows(lines: list[str]) -> Iterator[tuple[int, object]]:
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield number, _names(line.strip())


def _names(line: str) -> object:
    if line.startswith("{"):
        return _fields(line)
    if place := place_of(line):
        return place.stream_id, place.segment_id
    return tuple(line.replace(",", " ").replace("/", " ").split())


def _fields(line: str) -> object:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return (fields.get("stream_id"), fields.get("segment_id"))
