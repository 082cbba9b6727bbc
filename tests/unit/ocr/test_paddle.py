from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pipelines.cards import CardError
from pipelines.items import Failure, Picture, ScreenText
from pipelines.kinds import load
from pipelines.ocr.paddle import ScreenReader
from tests import tiny_checkpoints as tiny


def frame(bars: int, *, height: int = 640, width: int = 320) -> Picture:
    """Black, with white bars as lines of text, each a little longer than the one above."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for bar in range(bars):
        pixels[10 + 24 * bar : 22 + 24 * bar, 20 : 120 + 6 * bar] = 255
    return Picture(pixels)


def read(folder: Path, picture: Picture, **options: int) -> ScreenText:
    tiny.screen_reader(folder)
    card = tiny.card_of("screen-text", ("onnx",), options=dict(options))
    result = load(card, folder, device="cpu", threads=1).predict([picture])[0]
    assert isinstance(result, ScreenText)
    return result


def test_a_frame_without_text_has_no_lines(tmp_path: Path) -> None:
    assert read(tmp_path, frame(0)) == ScreenText(lines=())


def test_lines_come_from_top_to_bottom_with_boxes_as_fractions_of_the_frame(tmp_path: Path) -> None:
    lines = read(tmp_path, frame(3)).lines
    assert [line.text for line in lines] == ["字"] * 3
    assert [line.box[1] for line in lines] == sorted(line.box[1] for line in lines)
    assert lines[0].box == pytest.approx((20 / 320, 10 / 640, 120 / 320, 22 / 640), abs=0.05)


def test_only_the_largest_lines_are_read_and_the_rest_is_counted(tmp_path: Path) -> None:
    found = read(tmp_path, frame(6), max_lines=4)
    assert (len(found.lines), found.unread) == (4, 2)
    assert min(line.box[1] for line in found.lines) > 2 * 24 / 640


def test_all_text_of_a_frame_is_read_when_that_is_asked_for(tmp_path: Path) -> None:
    found = read(tmp_path, replace(frame(6), all_text=True), max_lines=4)
    assert (len(found.lines), found.unread) == (6, 0)


def test_a_line_that_was_found_and_read_as_nothing_stays_in_sight(tmp_path: Path) -> None:
    tiny.screen_reader(tmp_path)
    reader = load(tiny.card_of("screen-text", ("onnx",)), tmp_path, device="cpu", threads=1)
    assert isinstance(reader, ScreenReader)
    wordless = replace(reader, recogniser=lambda _: SimpleNamespace(txts=("",), scores=np.array([0.0])))
    found = wordless.predict([frame(1)])[0]
    assert isinstance(found, ScreenText)
    assert [line.text for line in found.lines] == [""]


def test_a_frame_too_small_to_search_is_a_failure_and_not_textless(tmp_path: Path) -> None:
    tiny.screen_reader(tmp_path)
    reader = load(tiny.card_of("screen-text", ("onnx",)), tmp_path, device="cpu")
    assert reader.predict([Picture(np.zeros((4, 4, 3), np.uint8))]) == [Failure(error="FrameTooSmall")]


def test_a_folder_without_a_recogniser_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    tiny.screen_reader(tmp_path)
    (tmp_path / "rec.onnx").unlink()
    with pytest.raises(CardError, match=r"lacks rec\.onnx"):
        load(tiny.card_of("screen-text", ("onnx",)), tmp_path, device="cpu")
