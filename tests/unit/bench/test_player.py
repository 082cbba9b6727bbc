"""A contender in a process of its own: told what to examine, it says when it was done."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipelines.manifest import SegmentManifest
from tests.functions import segment
from workers.bench.contender import ContenderFailed
from workers.bench.player import playing

CHILD = """
import sys
from workers.bench.player import own_replies, serve
replies = own_replies()
print("a library's greeting")
serve(lambda manifest: None, lanes=2, replies=replies)
"""


def manifests(count: int) -> list[SegmentManifest]:
    return [segment().manifest.model_copy(update={"segment_id": f"segment-{number}"}) for number in range(count)]


def test_a_child_answers_with_a_moment_for_each_segment(tmp_path: Path) -> None:
    with playing([sys.executable, "-c", CHILD], log=tmp_path / "child.log") as player:
        moments = player.play(manifests(3), [0.0, 0.0, 0.05])
        assert len(moments) == 3
        assert moments[2] >= 0.05
        assert player.play([], []) == []
    assert "a library's greeting" in (tmp_path / "child.log").read_text()


def test_a_child_that_dies_is_named_with_its_log(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit(7)"]
    with (
        pytest.raises(ContenderFailed, match=r"ended with 7; its log: .*child\.log"),
        playing(command, log=tmp_path / "child.log"),
    ):
        pass
