from __future__ import annotations

from itertools import pairwise

import pypinyin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.aligned import aligned
from pipelines.text.pinyin import cut, sounds
from pipelines.text.unmask import unmask


def heard(text: str) -> list[str]:
    return [" ".join(syllable.sound for syllable in run) for run in sounds(unmask(text))]


@pytest.mark.parametrize(
    ("written", "runs"),
    [
        ("加微信", ["jia wei xin"]),
        ("加薇芯", ["jia wei xin"]),
        ("菠菜", ["bo cai"]),
        ("博彩", ["bo cai"]),
        ("jia wei xin", ["jia wei xin"]),
        ("jiaweixin", ["jia wei xin"]),
        ("jia-wei-xin", ["jia wei xin"]),
        ("jiā wēi xìn", ["jia wei xin"]),
        ("加wei信", ["jia wei xin"]),
        ("加 薇信", ["jia wei xin"]),
        ("加薇❤", ["jia wei xin"]),
        ("JiaWeiXin吧", ["jia wei xin ba"]),
        ("绿女", ["lv nv"]),
        ("lünü", ["lv nv"]),
        ("略 lue", ["lve lve"]),
        ("银行在重庆", ["yin hang zai chong qing"]),
        ("行不行", ["xing bu xing"]),
        ("我爱，你", ["wo ai", "ni"]),
        ("加-微", ["jia", "wei"]),
        ("加123微", ["jia", "wei"]),
        ("hello world", []),
        ("看show吧", ["kan", "ba"]),
        ("señor", []),
        ("a e o", []),
        ("", []),
    ],
)
def test_what_is_heard(written: str, runs: list[str]) -> None:
    assert heard(written) == runs


@pytest.mark.parametrize(
    ("letters", "syllables"),
    [
        ("xian", ["xian"]),
        ("fangan", ["fang", "an"]),
        ("nvren", ["nv", "ren"]),
        ("women", ["wo", "men"]),
        ("zhuangshuang", ["zhuang", "shuang"]),
        ("sugar", None),
        ("gg", None),
        ("a", None),
        ("ma" * 20, None),
    ],
)
def test_letters_are_cut_into_the_fewest_syllables_or_not_at_all(letters: str, syllables: list[str] | None) -> None:
    found = cut(letters)
    assert (None if found is None else [sound for sound, _ in found]) == syllables


def test_a_syllable_knows_where_it_stands_and_whether_it_was_spelt() -> None:
    (run,) = sounds(aligned("加weixin"))
    assert [(syllable.start, syllable.end, syllable.latin) for syllable in run] == [
        (0, 1, False),
        (1, 4, True),
        (4, 7, True),
    ]


def test_the_words_of_a_disguised_line_lead_back_to_what_was_typed() -> None:
    written = "来 加*薇*芯 吧"
    view = unmask(written)
    syllables = [syllable for run in sounds(view) for syllable in run]
    start = next(index for index, syllable in enumerate(syllables) if syllable.sound == "jia")
    first, last = view.surface(syllables[start].start, syllables[start + 2].end)
    assert written[first:last] == "加*薇*芯"


@pytest.mark.parametrize(
    "text",
    [
        "今天主播做什么菜",
        "重庆的银行很多",
        "我觉得长江很长",
        "音乐让人快乐",
        "朝阳区的朝阳",
        "他还没还钱",
        "都是首都人",
    ],
)
def test_readings_are_those_of_pypinyin(text: str) -> None:
    assert heard(text) == [" ".join(pypinyin.lazy_pinyin(text))]


@settings(deadline=None)
@given(st.text(st.sampled_from("加薇信jiawexn -.'，3❤略"), max_size=25))
def test_syllables_are_in_order_and_do_not_overlap(text: str) -> None:
    view = aligned(text)
    places = [(syllable.start, syllable.end) for run in sounds(view) for syllable in run]
    assert places == sorted(places)
    assert all(before[1] <= after[0] for before, after in pairwise(places))
    assert all(0 <= start < end <= len(view.text) for start, end in places)
