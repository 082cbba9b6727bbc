"""Characters written as their halves: `木仓` for 枪, `讠仑` for 论.

Radicals and parts that no word is written with are joined with what stands beside them wherever the two make a
common character. Halves that are characters of their own are joined only for the pairs listed here, and where
ordinary text has them side by side only in the surroundings that are named: an eager joiner would make 明 of 日月
and 加 of 巧克力口味.
"""

from __future__ import annotations

import re

from pipelines.text.aligned import Aligned, Edit
from pipelines.text.radicals import AFTER_RADICAL, BEFORE_PART

_TALKED_ABOUT = "旁部字边偏"
"""`亻旁` is the name of a radical, not a way of writing 傍."""

PAIRS = (
    "木仓枪 弓单弹 火乍炸 女昌娼 马扁骗 又鸟鸡 甲鸟鸭 歹匕死 耳卯聊 女良娘 禾必秘 禾厶私 石肖硝 "
    "木奉棒 车仑轮 酉卒醉 酉每酶 酉告酷 走召超 白勺的"
)
"""First half, second half, character: pairs that ordinary text does not have side by side."""
GUARDED = (
    ("弓虽强", "", "(?!然)"),
    ("贝者赌", "(?<!宝)", ""),
    ("贝兼赚", "(?<!宝)", "(?![职顾任容])"),
    ("火包炮", "(?<!灭)", ""),
    ("火因烟", "(?<![起着失灭])", "(?![为此素由而果])"),
    ("女支妓", "", "(?![持援付撑部教书配招出流架线])"),
    ("女干奸", "(?<=[强虽轮仑迷通诱鸟被顺])", ""),
    ("女马妈", "", "(?![拉术冠赛])"),
    ("女乃奶", "", "(?![至是])"),
    ("力口加", "(?<![克能压魅实给权火吸努暴])", "(?=\\ ?(?:[微薇威徽卫维我你他她扣群裙好友入盟关粉油亻彳]|[vwq]))"),
    ("身寸射", "", "(?![步土草])"),
    ("米青精", "(?<!玉)", "(?=[子液虫油])"),
    ("月兑脱", "", "(?![现换奖付])"),
    ("月匈胸", "", "(?![牙奴])"),
    ("口乞吃", "(?<![路门])", "(?![讨丐求])"),
    ("石更硬", "", "(?=[了邦梆])"),
)
"""Pair and character, and what must stand, or must not, before and after."""

_LISTED = {**{entry[:2]: entry[2] for entry in PAIRS.split()}, **{entry[:2]: entry[2] for entry, _, _ in GUARDED}}
_SURROUNDINGS = {entry[:2]: re.compile(f"{before}{entry[:2]}{after}") for entry, before, after in GUARDED}
_PAIR = re.compile("|".join(_LISTED))
"""Without the surroundings, so that a line is searched by first characters."""


def _read(pairs: str) -> list[tuple[str, str]]:
    return list(zip(pairs[::2], pairs[1::2], strict=True))


_OF_RADICALS = {
    **{other + part: whole for part, pairs in BEFORE_PART.items() for other, whole in _read(pairs)},
    **{radical + other: whole for radical, pairs in AFTER_RADICAL.items() for other, whole in _read(pairs)},
}
_RADICAL = re.compile(f"[{''.join({**AFTER_RADICAL, **BEFORE_PART})}]")


def halves(view: Aligned) -> list[Edit]:
    """Two halves that become one character, from left to right."""
    text = view.text
    found = {match.start(): _LISTED[match[0]] for match in _PAIR.finditer(text) if _is_meant(match)}
    for match in _RADICAL.finditer(text):
        for start in (match.start(), max(match.start() - 1, 0)):
            pair = text[start : start + 2]
            if pair in _OF_RADICALS and pair[1] not in _TALKED_ABOUT:
                found.setdefault(start, _OF_RADICALS[pair])
                break
    edits: list[Edit] = []
    for start, character in sorted(found.items()):
        if not edits or edits[-1][1] <= start:
            edits.append((start, start + 2, character))
    return edits


def _is_meant(match: re.Match[str]) -> bool:
    surroundings = _SURROUNDINGS.get(match[0])
    return surroundings is None or surroundings.match(match.string, match.start()) is not None
