"""What stays on the screen: still banners, tickers, and what is neither."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipelines.banners import LONGEST, Banner, Sighting, banners_of
from pipelines.examine import examine
from pipelines.items import Item, Picture, ScreenLine, ScreenText
from pipelines.record import TextObservation
from pipelines.segment import ExaminationSettings
from tests.functions import frame, models, segment

SENTENCE = "本直播间只送不卖关注主播加微信领取红包福利先到先得"
OFFER = "加微信领红包每天稳赚三千元"
"""Thirteen characters: the reader may err in one."""


def line(text: str, left: float = 0.1, top: float = 0.8, *, width: float = 0.5, confidence: float = 0.9) -> ScreenLine:
    return ScreenLine(text=text, confidence=confidence, box=(left, top, min(1.0, left + width), top + 0.06))


def shown(*frames: Sequence[ScreenLine]) -> tuple[Banner, ...]:
    """The banners of frames two seconds apart."""
    return banners_of(Sighting(index, 2.0 * index, one) for index, lines in enumerate(frames) for one in lines)


def ticker(text: str, *, shows: int, step: int, spoils: bool = False) -> list[list[ScreenLine]]:
    """What a window over the left-running text shows, frame by frame; `spoils`: its edges cut characters in two."""
    frames = []
    for start in range(0, len(text) - shows + step, step):
        part = text[start : start + shows]
        if spoils and start:
            part = "口" + part[1:]
        if spoils and start + shows < len(text):
            part = part[:-1] + "丨"
        frames.append([line(part, 0.0, width=len(part) / shows)])
    return frames


def test_a_still_text_is_one_banner_with_every_time_it_was_seen() -> None:
    (banner,) = shown([line(OFFER)], [], [line(OFFER)])
    assert (banner.words, [sighting.at_s for sighting in banner.seen]) == (OFFER, [0, 4])


def test_a_reading_that_errs_in_one_of_eight_characters_is_the_same_banner() -> None:
    (banner,) = shown([line(OFFER.replace("稳", "隐"), confidence=0.7)], [line(OFFER, 0.11, 0.79, confidence=0.9)])
    assert (banner.words, banner.confidence, len(banner.seen)) == (OFFER, 0.9, 2)
    assert banner.box == line(OFFER, 0.11, 0.79).box


@pytest.mark.parametrize(
    "other",
    [
        line(OFFER.replace("稳赚", "不亏")),
        line(OFFER.replace("稳", "隐"), 0.3),
        line(OFFER.replace("稳", "隐"), 0.1, 0.7),
    ],
    ids=["two characters", "another place", "another height"],
)
def test_what_differs_by_more_or_stands_elsewhere_is_another_text(other: ScreenLine) -> None:
    assert [banner.words for banner in shown([line(OFFER)], [other])] == [OFFER, other.text]


def test_short_texts_differ_by_any_character() -> None:
    assert [banner.words for banner in shown([line("不卖烟")], [line("只卖烟")])] == ["不卖烟", "只卖烟"]


def test_lines_of_one_frame_are_told_apart_however_alike() -> None:
    near = line(OFFER.replace("三", "五"), 0.1, 0.81)
    assert len(shown([line(OFFER), near])) == 2


@pytest.mark.parametrize("spoils", [False, True])
def test_the_parts_of_a_ticker_make_its_sentence(spoils: bool) -> None:
    frames = ticker(SENTENCE, shows=12, step=5, spoils=spoils)
    (banner,) = shown(*frames)
    assert banner.words == SENTENCE
    assert len(banner.seen) == len(frames)
    assert banner.box[0] == 0
    assert banner.confidence == pytest.approx(0.9)


def test_a_ticker_that_runs_to_the_right_is_put_together_too() -> None:
    (banner,) = shown(*reversed(ticker(SENTENCE, shows=12, step=5)))
    assert banner.words == SENTENCE


def test_the_last_characters_of_a_ticker_are_not_taken_for_a_spoilt_edge() -> None:
    (banner,) = shown([line(SENTENCE[9:23], 0.0, width=1.0)], [line(SENTENCE[11:], 0.0, width=1.0)])
    assert banner.words == SENTENCE[9:]


def test_a_ticker_that_begins_again_is_not_another_text() -> None:
    once = ticker(SENTENCE, shows=12, step=5)
    (banner,) = shown(*once, *once[:2])
    assert banner.words == SENTENCE


def test_a_latin_ticker_is_put_together() -> None:
    sentence = "add me on telegram for the daily winning numbers"
    (banner,) = shown(*ticker(sentence, shows=24, step=9))
    assert banner.words == sentence


def test_a_caption_that_changes_where_it_stands_is_another_text() -> None:
    assert len(shown([line("今天给大家讲三个故事")], [line("今天给大家唱两首歌曲")])) == 2


def test_moving_texts_with_little_in_common_stay_apart() -> None:
    assert len(shown([line("关注主播不迷路", 0.4)], [line("感谢主播的礼物", 0.1)])) == 2


def test_a_text_that_was_long_gone_is_not_continued() -> None:
    first, second = line(SENTENCE[:12], 0.0, width=1.0), line(SENTENCE[5:17], 0.0, width=1.0)
    assert len(shown([first], [], [], [], [second])) == 2


def test_an_endless_ticker_is_several_texts_and_nothing_is_lost() -> None:
    endless = "".join(chr(0x4E00 + index) for index in range(300))
    banners = shown(*ticker(endless, shows=20, step=8))
    assert all(len(banner.words) <= LONGEST for banner in banners)
    assert set("".join(banner.words for banner in banners)) == set(endless)


GREY_STEP = 25


def observed(*frames: Sequence[ScreenLine]) -> tuple[TextObservation, ...]:
    """What examining frames that show these lines gives."""

    def reader(item: Item) -> ScreenText:
        assert isinstance(item, Picture)
        return ScreenText(lines=tuple(frames[int(item.pixels[0, 0, 0]) // GREY_STEP]))

    pictures = [frame(2.0 * index, GREY_STEP * index) for index in range(len(frames))]
    return examine(segment(frames=pictures), models(ocr=reader), ExaminationSettings()).observations.texts


def test_a_ticker_is_one_observation_scored_once() -> None:
    frames = ticker(SENTENCE, shows=12, step=5)
    (text,) = observed(*frames)
    assert (text.source, text.text, text.repeats) == ("screen", SENTENCE, len(frames))
    assert (text.at_s, text.end_s) == (0, 2.0 * (len(frames) - 1))
    assert text.scores
