"""Characters that stand for others: letters of another script that look Latin, and symbols that are read aloud.

Which letters look alike is Unicode's table (UTS 39, confusables.txt) as confusable-homoglyphs packs it. It is
used for single words only: Russian in Russian text and Greek in Greek text are no disguise.
"""

from __future__ import annotations

import functools
import re
import unicodedata

from pipelines.text.aligned import Aligned, Edit

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
LATIN = "a-zß-öø-ɏ"
"""Small letters only: what is looked at here has its case folded."""

_SCRIPTS = "GREEK", "CYRILLIC", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"
_FOREIGN = r"\u0370-\u052f\u0531-\u0587\u13a0-\u13fd\uab70-\uabbf\u1f00-\u1fff\u2c80-\u2cf3\ua4d0-\ua4fd"
_PHONETIC = r"ƒ\u0250-\u02af\u1d00-\u1d2b\ua730\ua731"
"""Latin letters of phonetic alphabets, small capitals among them: no language is written in them alone."""
_SUSPICIOUS = re.compile(f"[{_FOREIGN}{_PHONETIC}]")
_REALLY_FOREIGN = re.compile(f"[{_FOREIGN}]")
_WORD = re.compile(rf"[{LATIN}{_FOREIGN}{_PHONETIC}]+")
_COMPANY = re.compile(rf"[a-z]{{2}}|[{HAN}]")
_SHORTEST_WHOLE = 3
_ALSO_IN_MIXED_WORDS = {
    **dict(zip("бвёикмнптшэя", "bbenkmhntwer", strict=True)),
    **dict(zip("εηκτχω", "enktxw", strict=True)),
}
"""Capitals of these look Latin (В, Н, К, М, Т), or they are typed for Latin letters all the same. Not in the table."""

_SYMBOL = re.compile(
    "[\u24ff\u2776-\u2793\U0001f150-\U0001f169\U0001f170-\U0001f189\U0001f191-\U0001f19a\U0001f1e6-\U0001f1ff"
    "\u0334-\u0338\u20d0-\u20e0\u20e2-\u20e4+➕]"
)
_FIRST_OF_LETTERS = {0x1F150: 26, 0x1F170: 26}
"""White on black circles and squares, in the order of the alphabet, for which NFKC has no letters."""
_SQUARED = "cl", "cool", "free", "id", "new", "ng", "ok", "sos", "up", "vs"
_INDICATORS = re.compile("[\U0001f1e6-\U0001f1ff]+")
_FIRST_INDICATOR = 0x1F1E6
_NO_COUNTRIES = ("vx", "wx", "vv", "wv", "qq")
_PLUS = re.compile(
    rf"(?<![a-z\d+➕])[+➕](?=[\ .*_-]?(?:[微薇威徽维卫我你她他群裙扣企关好]|(?:vv?x?|wx|qq?)(?![a-z])))"
    rf"|(?<![a-z\d%+➕{HAN}])(?:(?<!\ )[+➕](?=[\ .*_-]?[{HAN}])|[+➕](?=[{HAN}]))"
)
"""`加` where somebody is to be added: `+微`, `➕ vx`; not in `苹果+香蕉`, `黄 + 蓝`, `c++`, `18+`, `1+1`, `+1`."""


def symbols(view: Aligned) -> list[Edit]:
    """Letters and digits in circles, squares and key caps, strokes through letters, and a plus that is read `加`."""
    text = view.text
    if not _SYMBOL.search(text):
        return []
    pluses = {match.start() for match in _PLUS.finditer(text)}
    flags = _flags(text)
    edits: list[Edit] = []
    for match in _SYMBOL.finditer(text):
        place = match.start()
        if match[0] in "+➕":
            read = "加" if place in pluses else match[0]
        else:
            read = match[0] if place in flags else _read_symbol(match[0])
        if read != match[0]:
            edits.append((place, place + 1, read))
    return edits


def lookalikes(view: Aligned) -> list[Edit]:
    """Words that hold Latin letters and look-alikes, and words of look-alikes alone in Latin or Chinese company."""
    text = view.text
    if not _SUSPICIOUS.search(text):
        return []
    table = _latin_lookalikes()
    mixed: list[Edit] = []
    whole: list[Edit] = []
    honest = False
    for match in _WORD.finditer(text):
        word = match[0]
        if not _SUSPICIOUS.search(word):
            continue
        start = match.start()
        if any(map(str.isascii, word)) or not _REALLY_FOREIGN.search(word):
            mixed += _folded(word, start, _lookalikes_in_mixed_words())
        elif all(letter in table for letter in word):
            whole += _folded(word, start, table) if len(word) >= _SHORTEST_WHOLE else []
        else:
            honest = True
    if whole and not honest and _COMPANY.search(text):
        return sorted(mixed + whole)
    return mixed


def _folded(word: str, start: int, table: dict[str, str]) -> list[Edit]:
    """The edits of one word; none when a letter of it is foreign and looks like no Latin one."""
    if any(letter not in table for letter in word if _REALLY_FOREIGN.match(letter)):
        return []
    if len(word) < _SHORTEST_WHOLE and any("\u0370" <= letter <= "\u03ff" for letter in word):
        return []
    places = ((start + place, table[letter]) for place, letter in enumerate(word) if letter in table)
    return [(place, place + 1, latin) for place, latin in places]


def _flags(text: str) -> frozenset[int]:
    """Places of letters that make flags: in pairs, and not the pairs that contacts are written with."""
    places: set[int] = set()
    for run in _INDICATORS.finditer(text):
        letters = "".join(map(_read_symbol, run[0]))
        pairs = {letters[place : place + 2] for place in range(0, len(letters), 2)}
        if len(letters) % 2 == 0 and not pairs.intersection(_NO_COUNTRIES):
            places.update(range(*run.span()))
    return frozenset(places)


@functools.cache
def _read_symbol(symbol: str) -> str:
    """What it is read as; nothing for strokes through what stands before them and for key caps."""
    code = ord(symbol)
    for first, letters in _FIRST_OF_LETTERS.items():
        if first <= code < first + letters:
            return chr(ord("a") + code - first)
    if code >= _FIRST_INDICATOR:
        return chr(ord("a") + code - _FIRST_INDICATOR)
    if code >= 0x1F191:
        return _SQUARED[code - 0x1F191]
    if unicodedata.category(symbol)[0] == "M":
        return ""
    return str(int(unicodedata.numeric(symbol)))


@functools.cache
def _latin_lookalikes() -> dict[str, str]:
    """Small letters of `_SCRIPTS` and of phonetic alphabets, each with the small Latin letter it looks like."""
    from confusable_homoglyphs.confusables import confusables_data

    table: dict[str, str] = {}
    for letter, alike in confusables_data.items():
        latin = [
            other["c"] for other in alike if len(other["c"]) == 1 and other["c"].isascii() and other["c"].isalpha()
        ]
        if not latin or len(letter) != 1 or not (_is_phonetic(letter) or _script(letter) in _SCRIPTS):
            continue
        if letter == letter.casefold():
            table[letter] = min(latin, key=str.isupper).lower()
    for code in (*range(0x250, 0x2B0), *range(0x1D00, 0x1D2C), 0xA730, 0xA731):
        kind, _, name = unicodedata.name(chr(code), "").partition("SMALL CAPITAL ")
        if kind == "LATIN LETTER " and len(name) == 1:
            table[chr(code)] = name.lower()
    return table


@functools.cache
def _lookalikes_in_mixed_words() -> dict[str, str]:
    return _latin_lookalikes() | _ALSO_IN_MIXED_WORDS


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


def _is_phonetic(letter: str) -> bool:
    return re.fullmatch(f"[{_PHONETIC}]", letter) is not None
