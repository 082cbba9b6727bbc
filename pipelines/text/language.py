"""Which language a short line is in: by script first, by a small classifier only among Latin ones.

Chat lines are too short for a classifier over all languages; the script settles most of them, and a short
list of Latin languages keeps `gg wp` from coming out as a language that nobody here speaks.
"""

from __future__ import annotations

import functools
import unicodedata
from collections import Counter
from typing import Final

from py3langid.langid import MODEL_FILE, LanguageIdentifier

LATIN_LANGUAGES: Final = ("en", "es", "fr", "de", "pt", "it", "id", "vi", "tr", "nl", "pl")
SHORTEST_LATIN: Final = 8
"""Letters. Below it the classifier guesses; plain ASCII is then taken for English."""

_BY_SCRIPT: Final = {
    "HANGUL": "ko",
    "CYRILLIC": "ru",
    "ARABIC": "ar",
    "THAI": "th",
    "DEVANAGARI": "hi",
    "HEBREW": "he",
    "GREEK": "el",
    "TAMIL": "ta",
    "BENGALI": "bn",
}
_TELLTALES: Final = {"uk": frozenset("іїєґІЇЄҐ"), "fa": frozenset("پچژگ"), "ur": frozenset("ٹڈڑےں")}
"""Letters that one language of a script has and the script's default language does not."""
_LETTERS_OF_A_WORD: Final = {"HAN": 3, "KANA": 2, "HANGUL": 2}
"""One Han character weighs as much as a short Latin word: `加我whatsapp赚钱` is Chinese."""


def language_of(text: str) -> str | None:
    """ISO 639-1 code of the language most of the text is in; None when it holds no letters."""
    scripts = Counter(script for script in map(_script_of, text) if script is not None)
    if not scripts:
        return None
    kana = scripts["KANA"]
    main = max(scripts, key=lambda script: scripts[script] * _LETTERS_OF_A_WORD.get(script, 1))
    if main in ("HAN", "KANA"):
        return "ja" if main == "KANA" or kana * 4 >= scripts["HAN"] + kana else "zh"
    if main == "LATIN":
        return _latin_language(text, scripts["LATIN"])
    for language, letters in _TELLTALES.items():
        if letters & set(text):
            return language
    return _BY_SCRIPT.get(main)


@functools.lru_cache(maxsize=4096)
def _script_of(character: str) -> str | None:
    """The first word of the letter's Unicode name, with Han and kana gathered; None for non-letters."""
    if not character.isalpha():
        return None
    script = unicodedata.name(character, "").partition(" ")[0]
    match script:
        case "CJK":
            return "HAN"
        case "HIRAGANA" | "KATAKANA" | "KATAKANA-HIRAGANA" | "HALFWIDTH":
            return "KANA"
        case "FULLWIDTH" | "MATHEMATICAL":
            return "LATIN"
    return script or None


def _latin_language(text: str, letters: int) -> str:
    if letters < SHORTEST_LATIN and text.isascii():
        return "en"
    language, _ = _identifier().classify(text.lower())
    return str(language)


@functools.cache
def _identifier() -> LanguageIdentifier:
    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    identifier.set_languages(LATIN_LANGUAGES)
    return identifier
