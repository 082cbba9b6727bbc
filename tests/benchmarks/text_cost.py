"""What a line of chat costs before any model sees it: normalising, unmasking, sounds and the lexicon.

    python -m tests.benchmarks.text_cost [--lines 4000] [--lexicons configs/lexicons]

Prints microseconds of one core a line, and lines a second, for each part and kind of line; the fastest of several
passes after one that fills what is read at first use, since a shared machine only ever adds time.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pipelines.text.aligned import aligned
from pipelines.text.lexicon import read_lexicons
from pipelines.text.normalise import normalise
from pipelines.text.pinyin import sounds
from pipelines.text.unmask import unmask, unmask_aligned

PASSES = 7
_MANDARIN = (
    "主播晚上好今天做什么菜|这把打得真不错啊|求主播的同款链接|新来的点个关注不迷路|哈哈哈哈笑死我了|多少钱一件包邮吗|明天几点开播呀|"
    "下一首唱什么歌|这件衣服有大码吗|刚刚那波操作太秀了|保證正品假一賠十|老板大气感谢礼物"
)
_ENGLISH = (
    "hello everyone from texas|that was a great game today|what time do you stream|LOL that was so funny|"
    "can you play the next song|I am a big fan of yours|gg wp see you tomorrow|how much is the blue one"
)
_EVASIVE = (
    "快来加*微*信领福利|➕薇❤看片|jia wei xin 12345|f r e e  m o n e y here|b00bs and pr0n in bio|ѕсаm or whаt|"
    "弓虽女干木仓支|k.y.s already|看头像ＶＸ８８６６|fuuuuuck this shiiiit|菠 菜 平 台 上 分|@dd m3 on wh@tsapp"
)
KINDS = {"mandarin": (_MANDARIN, 6), "english": (_ENGLISH, 3), "evasive": (_EVASIVE, 1)}
"""Phrases, and how many lines in ten are of the kind."""
_LENGTH = 20


def generated(kind: str, count: int, chance: random.Random) -> list[str]:
    """Lines of about twenty characters: a phrase, or two where they are short; some with an emoji or a number."""
    phrases = KINDS[kind][0].split("|")
    lines = []
    for _ in range(count):
        line = chance.choice(phrases)
        while len(line) < _LENGTH - 8:
            line += " " + chance.choice(phrases)
        lines.append(line + chance.choice(("", "", "", "！！！", "😂", f" {chance.randrange(1000)}")))
    return lines


def microseconds(function: Callable[[str], object], lines: Sequence[str]) -> float:
    for line in lines[:200]:
        function(line)
    best = float("inf")
    for _ in range(PASSES):
        start = time.process_time()
        for line in lines:
            function(line)
        best = min(best, time.process_time() - start)
    return best / len(lines) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=4000)
    parser.add_argument("--lexicons", type=Path, default=Path("configs/lexicons"))
    arguments = parser.parse_args()

    chance = random.Random(0)
    by_kind = {kind: generated(kind, arguments.lines * share // 10, chance) for kind, (_, share) in KINDS.items()}
    mixed = [line for lines in by_kind.values() for line in lines]
    chance.shuffle(mixed)
    lexicon = read_lexicons(arguments.lexicons, today=datetime.now(UTC).date())
    parts: dict[str, Callable[[str], object]] = {
        "normalise": normalise,
        "aligned": aligned,
        "unmask": unmask,
        "unmask, aligned given": lambda line: unmask_aligned(views[line]),
        "sounds, unmasked given": lambda line: sounds(opened[line]),
        "lexicon": lexicon.read,
    }
    views = {line: aligned(line) for line in mixed}
    opened = {line: unmask(line) for line in mixed}
    print(f"{len(mixed)} lines, {sum(map(len, mixed)) / len(mixed):.0f} characters each; µs a line")
    print(f"{'':24}" + "".join(f"{kind:>12}" for kind in (*by_kind, "all")) + f"{'lines/s':>12}")
    for name, function in parts.items():
        costs = [microseconds(function, lines) for lines in (*by_kind.values(), mixed)]
        print(f"{name:24}" + "".join(f"{cost:12.1f}" for cost in costs) + f"{1e6 / costs[-1]:12.0f}")


if __name__ == "__main__":
    main()
