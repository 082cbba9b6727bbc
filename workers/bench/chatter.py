"""The chat of a generated stream: Mandarin and English, small talk with an offer in between, and floods."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipelines.manifest import ChatLine

WHO = ("主播", "小姐姐", "这个游戏", "今天的菜", "the host", "this song", "that shot", "your cat")
SAYS = ("太好看了", "真的厉害", "笑死我了", "有点意思", "looks amazing", "made my day", "was so close", "is the best")
MORE = ("", "", "哈哈哈", "再来一次", "求链接", "again please", "lol", "from Singapore", "第{n}次看了", "day {n} here")
FLOODS = ("666", "冲冲冲", "主播加油", "哈哈哈哈", "gg", "LET'S GO", "关注主播不迷路", "first", "好耶", "W W W")
OFFERS = (
    "加微信 vx{n} 每天稳赚三千",
    "add me on WhatsApp, guaranteed profit every day",
    "先交押金 带你做任务 日结",
    "send the deposit first and your money doubles",
)
"""What a policy is about, planted where the corpus says so."""
USERS = 400


def talk(rng: np.random.Generator, duration_s: float, lines: float) -> list[ChatLine]:
    """About so many different lines, spread over the segment."""
    return [_line(rng, at_s, _remark(rng)) for at_s in _moments(rng, duration_s, int(rng.poisson(lines)))]


def flood(rng: np.random.Generator, duration_s: float, lines: int) -> list[ChatLine]:
    """Four lines in five repeat one of a few shouts, some with another number or more of the same sign."""
    shouted = rng.random(lines) < 0.8
    return [
        _line(rng, at_s, _shout(rng) if shout else _remark(rng))
        for at_s, shout in zip(_moments(rng, duration_s, lines), shouted, strict=True)
    ]


def offers(rng: np.random.Generator, duration_s: float) -> list[ChatLine]:
    """Three users who offer what nobody should take."""
    return [_line(rng, at_s, _chosen(rng, OFFERS)) for at_s in _moments(rng, duration_s, 3)]


def _moments(rng: np.random.Generator, duration_s: float, count: int) -> list[float]:
    return [round(float(at_s), 2) for at_s in np.sort(rng.uniform(0, duration_s, count))]


def _line(rng: np.random.Generator, at_s: float, text: str) -> ChatLine:
    return ChatLine(at_s=at_s, user=f"viewer-{int(rng.integers(USERS))}", text=text)


def _remark(rng: np.random.Generator) -> str:
    return " ".join(filter(None, (_chosen(rng, WHO), _chosen(rng, SAYS), _chosen(rng, MORE))))


def _shout(rng: np.random.Generator) -> str:
    return _chosen(rng, FLOODS) + str(rng.choice(["", "", "!", "！！", "~", str(rng.integers(1, 99))]))


def _chosen(rng: np.random.Generator, among: Sequence[str]) -> str:
    return among[int(rng.integers(len(among)))].replace("{n}", str(int(rng.integers(2, 9999))))
