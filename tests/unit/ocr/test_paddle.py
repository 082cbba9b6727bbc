from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rapidocr.ch_ppocr_rec import TextRecInput

from pipelines.cards import CardError
from pipelines.items import Failure, Picture, ScreenText
from pipelines.kinds import load
from pipelines.ocr.columns import from_top_left, is_tall
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


def columns(*boxes: tuple[int, int, int, int]) -> Picture:
    """Black, with white boxes of (left, top, width, height)."""
    pixels = np.zeros((640, 320, 3), dtype=np.uint8)
    for left, top, width, height in boxes:
        pixels[top : top + height, left : left + width] = 255
    return Picture(pixels)


def reader(folder: Path, *readings: tuple[str, float]) -> tuple[ScreenReader, list[int]]:
    """A reader whose recogniser says these one after the other, and how many crops it was given each time."""
    tiny.screen_reader(folder)
    loaded = load(tiny.card_of("screen-text", ("onnx",)), folder, device="cpu", threads=1)
    assert isinstance(loaded, ScreenReader)
    left, asked = list(readings), list[int]()

    def recogniser(given: TextRecInput) -> SimpleNamespace:
        asked.append(len(given.img))
        said = [left.pop(0) for _ in given.img]
        return SimpleNamespace(txts=[text for text, _ in said], scores=[score for _, score in said])

    return replace(loaded, recogniser=recogniser), asked


def texts(found: object) -> list[str]:
    assert isinstance(found, ScreenText)
    return [line.text for line in found.lines]


def test_a_column_read_with_doubt_is_read_upside_down_too_and_the_surer_reading_stays(tmp_path: Path) -> None:
    turned, asked = reader(tmp_path, ("u!", 0.5), ("in", 0.99))
    assert texts(turned.predict([columns((100, 100, 30, 200))])[0]) == ["in"]
    kept, _ = reader(tmp_path, ("in", 0.85), ("u!", 0.4))
    assert texts(kept.predict([columns((100, 100, 30, 200))])[0]) == ["in"]
    assert asked == [1, 1]


def test_a_column_read_surely_and_a_line_read_with_doubt_are_read_once(tmp_path: Path) -> None:
    sure, asked = reader(tmp_path, ("down", 0.95), ("line", 0.5))
    assert sorted(texts(sure.predict([columns((40, 100, 30, 200), (120, 120, 150, 30))])[0])) == ["down", "line"]
    assert asked == [2]


def test_characters_that_stand_on_one_another_are_one_text(tmp_path: Path) -> None:
    stacked, _ = reader(tmp_path, ("V", 0.9), ("X", 0.8), ("8", 1.0))
    found = stacked.predict([columns((100, 100, 30, 30), (100, 150, 30, 30), (100, 200, 30, 30))])[0]
    assert isinstance(found, ScreenText)
    (line,) = found.lines
    assert line.text == "VX8"
    assert line.confidence == pytest.approx(0.9)
    assert line.box == pytest.approx((100 / 320, 100 / 640, 130 / 320, 230 / 640), abs=0.05)


def test_the_pieces_of_a_line_that_runs_upwards_go_on_above(tmp_path: Path) -> None:
    upwards, _ = reader(tmp_path, ("p6", 0.3), ("noom", 0.4), ("on telegram", 0.99), ("add me", 0.99))
    assert texts(upwards.predict([columns((100, 100, 24, 150), (100, 270, 24, 90))])[0]) == ["add me on telegram"]


def test_columns_side_by_side_are_texts_of_their_own(tmp_path: Path) -> None:
    two, _ = reader(tmp_path, ("a", 0.99), ("b", 0.99), ("c", 0.99), ("d", 0.99))
    boxes = [(left, top, 30, 30) for top in (100, 150) for left in (60, 160)]
    assert texts(two.predict([columns(*boxes)])[0]) == ["ac", "bd"]


@pytest.mark.parametrize("lower", [(100, 230, 30, 30), (140, 150, 30, 30)], ids=["far below", "beside it"])
def test_characters_apart_stay_apart(tmp_path: Path, lower: tuple[int, int, int, int]) -> None:
    apart, _ = reader(tmp_path, ("a", 0.99), ("b", 0.99))
    assert texts(apart.predict([columns((100, 100, 30, 30), lower)])[0]) == ["a", "b"]


def test_lines_of_words_under_one_another_stay_apart(tmp_path: Path) -> None:
    lines, _ = reader(tmp_path, ("first line", 0.99), ("second line", 0.99))
    found = lines.predict([columns((60, 100, 150, 30), (60, 150, 150, 30))])[0]
    assert texts(found) == ["first line", "second line"]


def test_a_leaning_column_is_cut_out_from_its_upper_left_corner() -> None:
    leaning = np.array([[9, 1605], [90, 32], [144, 34], [63, 1607]], dtype=np.float32)
    assert from_top_left(leaning).tolist() == [[90, 32], [144, 34], [63, 1607], [9, 1605]]
    assert is_tall(from_top_left(leaning))


def test_a_frame_too_small_to_search_is_a_failure_and_not_textless(tmp_path: Path) -> None:
    tiny.screen_reader(tmp_path)
    reader = load(tiny.card_of("screen-text", ("onnx",)), tmp_path, device="cpu")
    assert reader.predict([Picture(np.zeros((4, 4, 3), np.uint8))]) == [Failure(error="FrameTooSmall")]


def test_a_folder_without_a_recogniser_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    tiny.screen_reader(tmp_path)
    (tmp_path / "rec.onnx").unlink()
    with pytest.raises(CardError, match=r"lacks rec\.onnx"):
        load(tiny.card_of("screen-text", ("onnx",)), tmp_path, device="cpu")
