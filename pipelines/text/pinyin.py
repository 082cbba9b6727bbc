"""How a text sounds in Mandarin: toneless syllables, of Chinese characters and of pinyin typed in Latin letters.

The readings are pypinyin's. Of its phrases only those are kept in which a character is read otherwise than alone
(银行, 重庆): 3,400 of 47,000. Its data files are read without importing it, because the package keeps everything it
has in memory, in every worker child.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.text.aligned import Aligned
from pipelines.text.lookalikes import HAN, LATIN

LONGEST_SPELLING = 30
"""Letters. Longer runs are no pinyin."""

_TONES = {ord(mark): None for mark in "\u0304\u0301\u030c\u0300"}
_PICTURES = {
    "bing": "🧊", "che": "🚗", "gou": "🐶🐕", "gua": "🍉", "hua": "🌸", "huo": "🔥", "ji": "🐔🐓", "lang": "🌊🐺",
    "ma": "🐴🐎", "niu": "🐮🐂", "qian": "💰", "qun": "👗", "she": "🐍", "shang": "⬆👆", "tang": "🍬", "xia": "⬇👇🦐",
    "xin": "❤♥💗💖💓💕🧡💛💚💙💜🖤🤍", "ya": "🦆", "yang": "🐑", "yu": "🐟🐠", "yun": "☁", "zhu": "🐷🐖",
}  # fmt: skip
"""Pictures with one reading that everybody knows: `加薇❤`."""
_SOUND_OF_PICTURE = {picture: sound for sound, pictures in _PICTURES.items() for picture in pictures}
_PIECE = re.compile(
    rf"(?P<han>[{HAN}]+)|(?P<latin>[{LATIN}]+)|(?P<picture>[{''.join(_SOUND_OF_PICTURE)}])|(?P<gap>[ '’\-.·_])|.",
    re.DOTALL,
)
_PUNCTUATION = re.compile(r"[\s:,}]*")
_LAST_COMMON_PLANE = "\uffff"
_INTERJECTIONS = frozenset({"m", "n", "ng", "hm", "hng", "ê"})
_ALONE_NO_PINYIN = frozenset("aeo")
"""As a word of its own a letter is English, Spanish or Portuguese before it is a syllable."""


class Syllable(NamedTuple):
    """A sound, toneless and with `v` for ü, and where it stands in the aligned text. `latin`: it was spelt out."""

    sound: str
    start: int
    end: int
    latin: bool


@dataclass(frozen=True)
class Readings:
    """`phrases` holds words with an unusual reading; `lengths` their lengths, longest first, by first character."""

    characters: dict[str, str]
    phrases: dict[str, tuple[str, ...]]
    lengths: dict[str, tuple[int, ...]]
    syllables: frozenset[str]


def sounds(text: Aligned) -> tuple[tuple[Syllable, ...], ...]:
    """Runs of syllables that nothing else stands between.

    Letters count only when they are cut into syllables without remainder. One space is no interruption, one other
    separator is none beside spelt syllables: `jia wei xin`, `加wei-xin`, `加 薇信`. A character that nobody knows how
    to read has an empty sound.
    """
    runs: list[tuple[Syllable, ...]] = []
    run: list[Syllable] = []
    found: list[Syllable]
    gap = ""
    for piece in _PIECE.finditer(text.text):
        kind = piece.lastgroup
        if kind == "gap":
            interrupted, found = bool(gap), []
            gap = piece[0]
        else:
            found = _syllables(piece)
            interrupted = not found or (gap not in ("", " ") and bool(run) and not (found[0].latin or run[-1].latin))
            gap = ""
        if interrupted and run:
            runs.append(tuple(run))
            run = []
        run += found
    return (*runs, tuple(run)) if run else tuple(runs)


def _syllables(piece: re.Match[str]) -> list[Syllable]:
    match piece.lastgroup:
        case "han":
            return _spoken(piece)
        case "latin":
            return list(_spelt(piece))
        case "picture":
            return [Syllable(_SOUND_OF_PICTURE[piece[0]], piece.start(), piece.end(), latin=False)]
    return []


def _spoken(piece: re.Match[str]) -> list[Syllable]:
    known = readings()
    word, first = piece[0], piece.start()
    found: list[str] = []
    while len(found) < len(word):
        at = len(found)
        for length in known.lengths.get(word[at], ()):
            said = known.phrases.get(word[at : at + length])
            if said is not None:
                found += said
                break
        else:
            found.append(known.characters.get(word[at], ""))
    return [Syllable(sound, place, place + 1, False) for place, sound in enumerate(found, first)]


def _spelt(piece: re.Match[str]) -> Iterator[Syllable]:
    start = piece.start()
    for sound, length in cut(piece[0]) or ():
        yield Syllable(sound, start, start + length, latin=True)
        start += length


@functools.lru_cache(maxsize=8192)
def cut(letters: str) -> tuple[tuple[str, int], ...] | None:
    """The fewest syllables that these letters are made of, with their lengths; None when something is left over.

    Among equally few the longest comes first: `fangan` is fang an.
    """
    toneless = _toneless(letters)
    if len(letters) > LONGEST_SPELLING or len(toneless) != len(letters) or toneless in _ALONE_NO_PINYIN:
        return None
    syllables = readings().syllables
    best: list[tuple[tuple[str, int], ...] | None] = [*[None] * len(toneless), ()]
    for start in range(len(toneless) - 1, -1, -1):
        for length in range(min(6, len(toneless) - start), 0, -1):
            rest = best[start + length]
            sound = _with_v(toneless[start : start + length])
            known = best[start]
            if rest is not None and sound in syllables and (known is None or len(rest) + 1 < len(known)):
                best[start] = ((sound, length), *rest)
    return best[0]


@functools.cache
def readings() -> Readings:
    """Read at first use: half a second of one core, and 13 MB that stay."""
    folder = data_folder()
    characters: dict[str, str] = {}
    syllables: set[str] = set()
    for code, said in entries(folder / "pinyin_dict.json"):
        character = chr(int(code))
        every = [_sound(reading) for reading in said.split(",")]
        if character <= _LAST_COMMON_PLANE:
            characters[character] = every[0]
        if _is_common(character):
            syllables.update(every)
    phrases = _unusual(entries(folder / "phrases_dict.json"), characters)
    return Readings(characters, phrases, _lengths(phrases), frozenset(syllables - _INTERJECTIONS))


def entries(path: Path) -> Iterator[tuple[str, Any]]:
    """The pairs of the JSON object in a file, one by one: all at once they would take 50 MB, never given back."""
    text = path.read_text(encoding="utf-8")
    decode = json.JSONDecoder().raw_decode
    at = text.index("{") + 1
    while (start := _after_punctuation(text, at)) < len(text):
        key, at = decode(text, start)
        value, at = decode(text, _after_punctuation(text, at))
        yield key, value


def _after_punctuation(text: str, at: int) -> int:
    match = _PUNCTUATION.match(text, at)
    return match.end() if match else at


def _unusual(spoken: Iterable[tuple[str, Any]], characters: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Phrases that are not read character for character, and those that hold one and are: 朝阳区 beside 朝阳."""
    unusual: dict[str, tuple[str, ...]] = {}
    usual: list[str] = []
    for phrase, readings_of_each in spoken:
        said = tuple([_sound(each[0]) for each in readings_of_each])
        if said == tuple([characters.get(character, "") for character in phrase]):
            usual.append(phrase)
        elif len(said) == len(phrase):
            unusual[phrase] = said
    lengths = _lengths(unusual)
    holding = [
        phrase
        for phrase in usual
        if any(
            phrase[place : place + length] in unusual
            for place, character in enumerate(phrase)
            for length in lengths.get(character, ())
        )
    ]
    return unusual | {phrase: tuple([characters[character] for character in phrase]) for phrase in holding}


def _lengths(phrases: Iterable[str]) -> dict[str, tuple[int, ...]]:
    lengths: dict[str, set[int]] = {}
    for phrase in phrases:
        lengths.setdefault(phrase[0], set()).add(len(phrase))
    return {first: tuple(sorted(some, reverse=True)) for first, some in lengths.items()}


def data_folder() -> Path:
    """Where pypinyin keeps its readings, as JSON."""
    spec = find_spec("pypinyin")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("No module named 'pypinyin'", name="pypinyin")
    return Path(spec.submodule_search_locations[0])


@functools.lru_cache(maxsize=2048)
def _sound(reading: str) -> str:
    return sys.intern(_with_v(_toneless(reading)))


def _toneless(reading: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", reading).translate(_TONES))


def _with_v(syllable: str) -> str:
    """`lü` and the spellings `lue` and `nue`, which stand for nothing else, as pypinyin writes them."""
    plain = syllable.replace("ü", "v")
    return f"{plain[0]}ve" if plain in ("lue", "nue") else plain


def _is_common(character: str) -> bool:
    try:
        return len(character.encode("gb2312")) == 2
    except UnicodeEncodeError:
        return False
