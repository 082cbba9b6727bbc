"""Chat as a stream: what is one observation, and what is read joined."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest

from pipelines.cards import Label
from pipelines.chat_joins import MOST_JOINS
from pipelines.chat_lines import JOIN_CONFIDENCE, MOST_DRESSINGS, MOST_PICTURES, group_chat
from pipelines.examine import examine
from pipelines.fusion import evidence_of
from pipelines.fusion.pool import pooled
from pipelines.items import CheckpointRef
from pipelines.manifest import ChatLine
from pipelines.policies import POLICIES_FILE, Fusion, read_policies
from pipelines.record import Evidence, Observations, TextObservation
from pipelines.segment import ExaminationSettings
from tests.evidence import PLAIN
from tests.functions import models, segment


def chat(*said: tuple[str, str], every_s: float = 1.0) -> list[ChatLine]:
    """Lines of (user, text), one after the other."""
    return [ChatLine(at_s=index * every_s, user=user, text=text) for index, (user, text) in enumerate(said)]


def crowd(texts: Sequence[str]) -> list[ChatLine]:
    """Each line by another user, so that none is joined."""
    return chat(*((f"user-{index}", text) for index, text in enumerate(texts)), every_s=0.01)


def texts(lines: Sequence[ChatLine]) -> list[str]:
    return [text.text for text in group_chat(lines)[0]]


def joins(lines: Sequence[ChatLine]) -> list[str]:
    return [text.text for text in group_chat(lines)[0] if text.joined]


def test_an_audit_has_every_line_of_a_flood_by_itself() -> None:
    seen, skipped = group_chat(crowd(["666", "666", "加我领福利", "加我领福利"]), repeated=False)
    assert [(text.text, text.repeats) for text in seen if not text.joined] == [
        *[("666", 1)] * 2,
        *[("加我领福利", 1)] * 2,
    ]
    assert "repeated" not in skipped


@pytest.mark.parametrize(
    "flood",
    [
        ["进群领红包 123", "进群领红包 88888", "进群领红包"],
        ["主播今天真好看！！！", "主播今天真好看……", "主播，今天真好看"],
        ["主播今天真好看😂", "主播今天真好看❤️🌹", "主播今天真好看"],
        ["哈哈哈哈", "哈哈", "哈哈哈哈哈哈哈哈哈"],
        ["加我加我加我", "加我"],
        ["Join my GROUP now 1", "join my group now!! 22", "ｊｏｉｎ my group now"],
        ["soooooo good", "sooo good", "soooooooooooooo good"],
        ["廣州的朋友加我", "广州的朋友加我"],
        ["加\u200b我领福利吧", "加我领福利吧"],
    ],
)
def test_lines_alike_up_to_what_floods_vary_are_one_observation(flood: list[str]) -> None:
    seen, skipped = group_chat(crowd(flood))
    assert [(text.text, text.repeats) for text in seen] == [(flood[0], len(flood))]
    assert skipped == {"repeated": len(flood) - 1}


@pytest.mark.parametrize(
    "apart",
    [
        ["good", "god"],
        ["as", "ass"],
        ["5v5", "v"],
        ["k1ll", "kll"],
        ["88", "66"],
        ["now here", "nowhere"],
        ["有货", "有货❄️"],
        ["v", "+v"],
        ["加", "加Ⓥ"],
    ],
)
def test_lines_that_may_mean_different_things_stay_apart(apart: list[str]) -> None:
    assert texts(crowd(apart)) == apart


def test_a_flood_is_dated_from_its_first_line_to_its_last_and_names_its_users() -> None:
    (flood,) = group_chat(chat(("ann", "加群 1"), ("bob", "加群 2"), ("ann", "加群 3")))[0]
    assert (flood.at_s, flood.end_s, flood.users, flood.repeats) == (0, 2, ("ann", "bob"), 3)
    assert flood.normalised == "加群 1"


def test_random_emoji_on_a_short_line_do_not_make_a_flood_many() -> None:
    seen, skipped = group_chat(crowd([f"有货{chr(0x1F600 + index)}" for index in range(60)]))
    assert len(seen) == MOST_DRESSINGS
    assert skipped == {"repeated": 60 - MOST_DRESSINGS}


def test_numbers_written_as_lines_are_one_number() -> None:
    assert texts(crowd(["13800138000", "13900139001", "100000"])) == ["13800138000"]


def test_a_line_of_one_emoji_or_of_faces_is_spared_and_counted() -> None:
    seen, skipped = group_chat(crowd(["🎉🎉", "！！", "😂🤣❤️", "好"]))
    assert [text.text for text in seen] == ["好"]
    assert skipped == {"no_letters": 3}


def test_a_line_of_different_emoji_may_be_an_offer_and_is_examined() -> None:
    seen, skipped = group_chat(crowd(["❄️🍃🔌", "🍃🔌❄️❄️"]))
    assert [(text.text, text.repeats) for text in seen] == [("❄️🍃🔌", 2)]
    assert skipped == {"repeated": 1}


def test_only_so_many_different_lines_of_emoji_are_examined() -> None:
    seen, skipped = group_chat(crowd([f"🍃{chr(0x1F680 + index)}" for index in range(30)]))
    assert (len(seen), skipped) == (MOST_PICTURES, {"no_letters": 30 - MOST_PICTURES})


def test_a_word_spelt_over_lines_is_read_joined_beside_its_parts() -> None:
    seen, skipped = group_chat(chat(("u", "加"), ("u", "微"), ("u", "信")))
    assert [text.text for text in seen] == ["加", "微", "信", "加微信"]
    join = seen[-1]
    assert (join.joined, join.users, join.at_s, join.end_s, join.repeats) == (3, ("u",), 0, 2, 1)
    assert (join.normalised, join.language, join.confidence) == ("加微信", "zh", JOIN_CONFIDENCE)
    assert [text.joined for text in seen[:-1]] == [0, 0, 0]
    assert skipped == {}


def test_lines_of_others_in_between_do_not_break_a_join() -> None:
    assert joins(chat(("u", "加"), ("x", "主播好"), ("u", "微"), ("y", "来了来了"), ("u", "信"))) == ["加微信"]


def test_lines_of_different_users_are_never_joined() -> None:
    assert joins(chat(("a", "加"), ("b", "微"), ("c", "信"))) == []


def test_a_single_short_line_is_no_join() -> None:
    assert joins(chat(("u", "加微信"))) == []


def test_a_pause_ends_a_message() -> None:
    assert joins(chat(("u", "加"), ("u", "微"), every_s=15)) == ["加微"]
    assert joins(chat(("u", "加"), ("u", "微"), every_s=15.1)) == []


def test_a_long_line_stands_for_itself_and_ends_a_message() -> None:
    assert joins(chat(("u", "加"), ("u", "今天天气真的很不错"), ("u", "微"))) == []


@pytest.mark.parametrize(
    ("lines", "joined"),
    [
        (("add", "me on", "telegram"), "add me on telegram"),
        (("k", "y", "s"), "kys"),
        (("加", "vx", "abc123"), "加vx abc123"),
        (("有货", "❄️"), "有货❄️"),
        (("多少钱", "一克"), "多少钱一克"),
    ],
)
def test_joins_are_spaced_as_their_script_is(lines: tuple[str, ...], joined: str) -> None:
    assert joins(chat(*(("u", line) for line in lines))) == [joined]


def test_saying_the_same_again_is_no_message_over_lines() -> None:
    assert joins(chat(("u", "来了"), ("u", "来了！"), ("u", "来了来了"), ("u", "666"), ("u", "6666"))) == []
    assert joins(chat(("u", "来了"), ("u", "来了"), ("u", "你好"))) == ["来了你好"]


def test_numbers_alone_are_not_joined() -> None:
    assert joins(chat(("u", "1"), ("u", "2"), ("u", "3"))) == []


def test_what_somebody_wrote_whole_is_not_read_joined_again() -> None:
    assert joins(chat(("a", "加微信"), ("u", "加"), ("u", "微"), ("u", "信"))) == []


def test_the_same_join_of_several_users_is_one_with_all_of_them() -> None:
    spelt = [(user, part) for user in ("a", "b") for part in ("加", "微", "信")]
    (join,) = (text for text in group_chat(chat(*spelt))[0] if text.joined)
    assert (join.users, join.repeats, join.joined) == (("a", "b"), 2, 3)


def test_a_long_run_of_short_lines_is_read_in_joins_that_overlap() -> None:
    letters = "甲乙丙丁戊己庚辛壬癸子丑"
    assert joins(chat(*(("u", letter) for letter in letters))) == [letters[:8], letters[4:]]


def test_of_too_many_joins_the_shortest_lines_are_kept_and_the_rest_is_counted() -> None:
    names = [a + b for a, b in permutations("abcdefghijklmnop", 2)][: 2 * MOST_JOINS]
    filler = [(name, part) for name in names for part in (f"来了{name}", "你好")]
    seen, skipped = group_chat(chat(*filler, ("u", "加"), ("u", "微"), every_s=0.01))
    found = [text.text for text in seen if text.joined]
    assert len(found) == MOST_JOINS
    assert "加微" in found
    assert skipped["joins"] == MOST_JOINS + 1


def test_a_join_adds_nothing_to_what_coverage_counts() -> None:
    spelt = segment(chat=[("u", "加"), ("u", "微"), ("u", "信")])
    seen = examine(spelt, models(), ExaminationSettings()).observations
    coverage = seen.coverage["chat"]
    assert [text.joined for text in seen.texts] == [0, 0, 0, 3]
    assert (coverage.status, coverage.examined, coverage.total, coverage.skipped) == ("examined", 3, 3, {})


def test_a_flood_of_five_thousand_lines_is_a_handful_of_observations() -> None:
    flood = [ChatLine(at_s=index / 500, user=f"u{index % 700}", text=f"进群领红包{index}！") for index in range(5000)]
    seen, skipped = group_chat(flood)
    assert [(text.repeats, len(text.users)) for text in seen] == [(5000, 700)]
    assert skipped == {"repeated": 4999}


def test_many_users_with_one_line_weigh_more_than_one_user_with_many() -> None:
    def weight(*lines: ChatLine) -> float:
        scored = (text.model_copy(update={"scores": {"text.risk": {"scam": 0.5}}}) for text in group_chat(lines)[0])
        return pooled(evidence(tuple(scored)), PLAIN, Fusion())

    one = weight(*chat(*(("ann", f"加群领红包 {index}") for index in range(8))))
    eight = weight(*crowd([f"加群领红包 {index}" for index in range(8)]))
    assert one == pytest.approx(0.5)
    assert eight > one


def evidence(scored: tuple[TextObservation, ...]) -> tuple[Evidence, ...]:
    ref = CheckpointRef(id="risk", digest="c" * 64, session="torch")
    observations = Observations(texts=scored, coverage={}, checkpoints={"text.risk": ref})
    labels = {"risk": {"scam": Label(policies=("scam",))}}
    return evidence_of(observations, labels, read_policies(POLICIES_FILE))["scam"]
