"""Files of segment ids."""

from __future__ import annotations

import pytest

from workers.runs.condition import WrongSelection
from workers.runs.listed import read_segments

ONE = frozenset({("room-1", "seg-1")})


@pytest.mark.parametrize(
    "content",
    [
        "room-1/seg-1\n",
        "room-1 seg-1",
        "room-1,seg-1\r\n\r\n",
        '{"stream_id": "room-1", "segment_id": "seg-1", "severity": "high"}\n',
        "records/date=2026-03-10/stream=room-1/seg-1/live.json",
        "stream_id,segment_id\nroom-1,seg-1\n",
        'text,segment_id,stream_id\n"two\nlines",seg-1,room-1\n',
        "\ufeffroom-1/seg-1\nroom-1/seg-1\n",
    ],
)
def test_segments_are_read_as_people_and_programs_write_them(content: str) -> None:
    assert read_segments("list", content.encode()) == ONE


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"room-1/seg-1\nroom-1\n", 2),
        (b"room-1/seg-1\n\nroom-1/seg-1/more\n", 3),
        (b'{"stream_id": "room-1"}\n', 1),
        (b'{"stream_id": "room-1", \n', 1),
        (b"{}{}\n", 1),
        (b"room-1/../etc\n", 1),
        (b"room-1/seg-1\nroom-\xff/seg\n", 2),
        (b"stream_id,segment_id\nroom-1,seg-1\nroom-1\n", 3),
    ],
)
def test_a_line_that_names_no_segment_is_told_by_its_number(content: bytes, line: int) -> None:
    with pytest.raises(WrongSelection, match=rf"^list:{line}: ") as refused:
        read_segments("list", content)
    assert "\n" not in str(refused.value)


def test_an_empty_list_is_no_segments() -> None:
    assert read_segments("list", b"\n") == frozenset()
