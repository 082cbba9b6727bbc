"""Valid inputs made wrong: bits, lengths, cuts and splices of bytes, and hostile values in the places of good ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

MAX_BYTES = 256 * 1024
"""Of one input; limits on sizes have tests of their own."""

NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2**31, 2**53, 2**63, -(2**63) - 1, 2**64, 10**400, -(10**4000), 0.0, -0.0, 1e-320, 1e308, -1e308,
    float("nan"), float("inf"), float("-inf"), 0.1 + 0.2,
)  # fmt: skip
TEXTS: tuple[str, ...] = (
    "", " ", "\x00", "\n", "a\nb", "\r\n", "\x1b[31m", "\u202eabc", "\u200b", "\ufeff", "\ud800", "\udfff\ud800",
    "é" * 300, "\U0001f468\u200d\U0001f469", "a" * 5000, "%s%n{0}", "../../etc", "a/../b", "//", "~", "null", "NaN",
    "0x1F", "1_000", "2026-99-99", "2026-01-31T12:00:00Z", "9999-12-31T23:59:59.999999+23:59",
    "0001-01-01T00:00:00-23:59", "1:00:00", "\u0300" * 200, "加" * 200, "ﷺ" * 50, "İ", "ß", "ſ", "Ⅷ", "𝔸", "🅰", "٣",
    "file:///etc/hostname", "s3://a/b", "!!int", "<<", "*a", "&a", "- ", ": ",
)  # fmt: skip
WORDS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5", b"\n", b"\r", b'"', b"\\u0000", b"\\ud800",
    b"{", b"}", b"[", b"]", b",", b":", b"1e999", b"-", b"NaN", b"9" * 400, b"9" * 5000, b"null", b"true", b"{}",
    b"[]", b"[[", b"&a", b"*a", b"<<: ", b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ",
    b"!!python/object:os.system ", b"? ", b"- ", b"---\n", b"...\n", b"|\n", b"\t", b"%YAML 9.9\n", b"2026-99-99",
    b"1:60:00", b"0b", b"0x", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"\xe2\x80\xa8",
)  # fmt: skip


def mutated(dice: random.Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """The seed after one to six changes; now and then a tree of JSON with hostile values in it."""
    if dice.random() < 0.4 and (tree := _tree(seed)) is not None:
        for _ in range(dice.randint(1, 4)):
            tree = changed_tree(dice, tree)
        seed = as_json(tree)
        if dice.random() < 0.7:
            return seed[:MAX_BYTES]
    data = bytearray(seed)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        dice.choice(_CHANGES)(dice, data, others)
    return bytes(data[:MAX_BYTES])


def hostile(dice: random.Random) -> Any:
    """A value where it is not expected."""
    match dice.randrange(8):
        case 0 | 1 | 2:
            return dice.choice(NUMBERS)
        case 3 | 4 | 5:
            return dice.choice(TEXTS)
        case 6:
            return dice.choice((None, True, False, [], {}, [[]], {"": None}, [None] * 50))
        case _:
            deep: Any = dice.choice(([], {}))
            for _ in range(dice.choice((5, 50, 300))):
                deep = [deep] if dice.random() < 0.5 else {dice.choice(("a", "chat", "\n")): deep}
            return deep


def changed_tree(dice: random.Random, tree: Any) -> Any:
    """The tree with one of its nodes replaced, doubled, renamed or gone."""
    holders = [node for node in _nodes(tree) if node]
    if not holders:
        return hostile(dice)
    holder = dice.choice(holders)
    if isinstance(holder, list):
        index = dice.randrange(len(holder))
        match dice.randrange(4):
            case 0:
                del holder[index]
            case 1:
                holder.extend([holder[index]] * dice.choice((1, 10, 100)))
            case _:
                holder[index] = hostile(dice)
        return tree
    key = dice.choice(sorted(holder))
    match dice.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[dice.choice(TEXTS)] = holder.pop(key)
        case 2:
            holder[dice.choice(TEXTS)] = hostile(dice)
        case _:
            holder[key] = hostile(dice)
    return tree


def as_json(tree: Any) -> bytes:
    """JSON as careless programs write it: NaN and lone surrogates go through."""
    try:
        return json.dumps(tree, ensure_ascii=True).encode()
    except (ValueError, RecursionError):  # more digits than Python writes
        return b"[" * 2000


def _tree(seed: bytes) -> Any:
    try:
        found = json.loads(seed)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def _nodes(tree: Any) -> list[Any]:
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            found.append(node)
            waiting.extend(node.values() if isinstance(node, dict) else node)
    return found


def _place(dice: random.Random, data: bytearray) -> int:
    """Headers matter more than what follows them."""
    if len(data) > 64 and dice.random() < 0.3:
        return dice.randrange(64)
    return dice.randrange(len(data) + 1)


def _flip(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        at = min(_place(dice, data), len(data) - 1)
        data[at] ^= 1 << dice.randrange(8)


def _set(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[min(_place(dice, data), len(data) - 1)] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def _number(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """What may be a length or a count, of two, four or eight bytes, either way round."""
    width = dice.choice((2, 4, 4, 8))
    if len(data) >= width:
        at = min(_place(dice, data), len(data) - width)
        value = dice.choice(
            (0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), len(data), dice.randrange(1 << 16))
        ) % 2 ** (8 * width)
        data[at : at + width] = value.to_bytes(width, dice.choice(("little", "big")))


def _cut(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_place(dice, data) :]


def _drop(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(dice, data)
    del data[at : at + dice.choice((1, 2, 8, 100, 1000))]


def _repeat(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(dice, data)
    data[at:at] = data[at : at + dice.choice((1, 4, 32, 500))] * dice.choice((1, 2, 20, 200))


def _insert(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(dice, data)
    data[at:at] = dice.choice(WORDS)


def _text(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(dice, data)
    data[at:at] = dice.choice(TEXTS).encode("utf-8", "surrogatepass")


def _splice(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = dice.choice(others)
    at = dice.randrange(len(other) + 1)
    data[_place(dice, data) :] = other[at:]


def _nest(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(dice, data)
    data[at:at] = dice.choice((b"[", b"{", b'{"a":', b"{a: ", b"- ", b"(")) * dice.choice((10, 200, 5000))


Change = Callable[[random.Random, bytearray, Sequence[bytes]], None]
_CHANGES: tuple[Change, ...] = (
    _flip, _flip, _set, _set, _number, _number, _cut, _drop, _repeat, _insert, _insert, _text, _splice, _nest,
)  # fmt: skip
