"""Words that look or sound like others by accident: what stands there may be meant just as it is written.

A match by sound or by a second spelling is a guess about what somebody meant. These tell which guesses are bad: a
Chinese word of its own, or a word of a language in Latin letters that happens to be cut into pinyin.
"""

from __future__ import annotations

import functools
import re

from pipelines.text.lexicon_file import is_emoji, is_han
from pipelines.text.pinyin import data_folder, entries

LONGEST_WORD = 3
_LETTERS = re.compile(r"[a-z]+")

LATIN_WORDS = frozenset(
    """
    an ban bang ben bin can da dan dang de die ding dong dun en fan fang fen gang gong gun ha hang he hen ken la lan
    lang le lie lin lo long man mang me men mi min mine pan pang pen pie pin ping ran rang run sang se she shun si
    song su sue sun tan tang tie ting tong tu wan wang ya yang yin you yuan zen ala baila baile bala bale banana
    bandage bandana bien bingo buen cabana cada cala cama cana casa chica china dada dale dama damage dame dance
    deli diana fue gana ganga halo jinete juega lana langue lima linda lingo lino luna mala malo mama mana mande
    manga mango mano manu mina mini minigun nada nadie nena nina nino nuance paga pala pale panda papa pena penang
    pila pinyin sala sale sanguine santa shanghai shenzhen sudan suelo suena taiwan tala tangle tango tele tiene
    titan tuna wuhan
    """.split()  # noqa: SIM905  # as prose it can be read
)
"""English and Spanish words that can be cut into pinyin. None that is nothing but pinyin: `da ma`, `du bo`."""


def is_latin_word(letters: str) -> bool:
    return letters in LATIN_WORDS


def words_around(text: str, start: int, end: int) -> list[str]:
    """The words in Latin letters that the stretch of a normalised text touches, each whole."""
    while start > 0 and text[start - 1].isascii() and text[start - 1].isalpha():
        start -= 1
    while end < len(text) and text[end].isascii() and text[end].isalpha():
        end += 1
    return _LETTERS.findall(text[start:end])


def holds_a_word(surface: str, meant: str) -> bool:
    """Whether part of what is written is a Chinese word that the term does not have in this place."""
    known = _chinese_words()
    return any(
        surface[start:end] in known and surface[start:end] != meant[start:end]
        for start in range(len(surface) - 1)
        for end in range(start + 2, len(surface) + 1)
    )


def may_be_meant(surface: str, language: str) -> bool:
    """Whether a second spelling has a meaning of its own, so far as can be told.

    Of Latin letters only those in a Chinese lexicon have none: initials and pinyin.
    """
    if all(is_emoji(character) or character.isspace() for character in surface):
        return True
    if any(map(is_han, surface)):
        return holds_a_word(surface, "")
    return language != "zh"


@functools.cache
def _chinese_words() -> frozenset[str]:
    """Words of two and three characters in pypinyin's readings: not all there are, and so a hint and no proof.

    Read at first use: 0.2 s of one core, and 4 MB that stay.
    """
    phrases = entries(data_folder() / "phrases_dict.json")
    return frozenset(phrase for phrase, _ in phrases if len(phrase) <= LONGEST_WORD)
