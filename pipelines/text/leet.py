"""Digits and signs written for letters inside Latin words: `sh0w`, `b00bs`, `pu$$y`, `@dd m3`.

Most tokens of letters and digits mean what they say: models (`h264`, `ps5`), units, ids, teams, scores, prices.
So a figure is read as a letter only between letters, where at most two equal figures stand together, and where the
letters outweigh them; at the beginning or the end of a word only in shapes that no model or unit has.
"""

from __future__ import annotations

import re

from pipelines.text.aligned import Aligned, Edit

LONGEST = 24
"""Characters. Longer tokens are addresses and keys."""


def _words(written: str) -> frozenset[str]:
    return frozenset(written.split())


_VOWELS = {"0": "o", "1": "i", "3": "e", "4": "a", "@": "a", "!": "i", "€": "e"}
_CONSONANTS = {"5": "s", "7": "t", "$": "s"}
_LETTER_OF = str.maketrans(_VOWELS | _CONSONANTS)

_CANDIDATE = re.compile(r"[a-z][013457@!$€]|[@$0][a-z]")
_TOKEN = re.compile(r"(?<![a-z\d@$€À-ɏ_])[a-z\d@!$€]{2,}(?![a-z\d@$€À-ɏ_])")
_FIGURE_GROUP = r"(?:00?|11?|33?|44?|55?|77?|\$\$?|[@!€])"
_SHAPE = re.compile(rf"(?P<lead>[@$0])?(?P<body>[a-z]+(?:{_FIGURE_GROUP}[a-z]+)*)(?P<tail>00?|33?|4|\$\$?)?(?P<end>!*)")
_GROUPS = re.compile(_FIGURE_GROUP)
_MEANS_ITS_NUMBER = re.compile(r"[a-z]{4}[157][a-z]|[a-z]{3}4[a-z]|4(?:u|you|ever|free|life|me|real|sale)$|^rt@")
"""`that1guy`, `fit4life`; of `b1tch` and `r4pe` less stands before the figure."""
_VOWEL_BETWEEN = re.compile(r"([bcdfghjklmnpqrstvwxz])[013€](?!\1)[bcdfghjklmnpqrstvwxz]3?")
"""`s3x`, `d1ck` is longer, `c0d3`; not `h1n1`, `f4f`, `b2b`."""
_DOUBLED_BETWEEN = re.compile(r"[a-z](?:00|33)[a-z]3?")
"""`n00b`, `l33t`."""
_LEADS = {
    "@": _words("dd dds dded dding ss sses sshole ssholes dult dults nal nus rse mateur mateurs"),
    "0": _words("nly nlyfans rder rders rgy rgasm ral pium"),
}
"""What follows a leading sign in words; in all else it is a name (`@tom`) or a number (`0ms`)."""
_FOLLOWS_AN_S = re.compile(r"[aeiou][^aeiou]|[hlmnwkpt][aeiouy]|ch|[tcp]r|lu")
"""`$ex`, `$hit`, `$tupid`; of shares and coins (`$tsla`, `$btc`, `$aapl`) few begin so."""
_CURRENCIES = _words("a au c ca hk mex mx nt nz r rm s sg us u")
_TICKERS = _words("usd aud cad hkd ntd sgd us eth meta amd amzn")
_MEANT_SO = _words(
    "c3po ch3oh ch3cooh h1b h1bs i3wm log4j mp3s mp4s neo4j ps1s ps3s ps4s ps5s sha1sum w3c w3m w3schools web3js x3d"
)
"""Models, tools and molecules in the shape of disguised words."""
_SHORT = {
    "m3": "me", "w3": "we", "h3": "he", "sh3": "she", "th3": "the", "g0": "go", "n0": "no", "s0": "so", "t0": "to",
    "d0": "do", "y0": "yo", "y0u": "you",
}  # fmt: skip
"""Read so next to a disguised word only: alone `m3` is a unit and `g0` may be anything."""


def figures(view: Aligned) -> list[Edit]:
    """Figures that stand for letters, one edit each."""
    text = view.text
    if not _CANDIDATE.search(text):
        return []
    tokens = list(_TOKEN.finditer(text))
    readings = [_reading(token[0]) for token in tokens]
    edits: list[Edit] = []
    for place, token in enumerate(tokens):
        reading = readings[place]
        if reading is None and token[0] in _SHORT and _has_disguised_neighbour(tokens, readings, place):
            reading = _SHORT[token[0]]
        if reading is not None:
            pairs = zip(token[0], reading, strict=True)
            edits += [
                (token.start() + at, token.start() + at + 1, new) for at, (old, new) in enumerate(pairs) if old != new
            ]
    return edits


def _has_disguised_neighbour(tokens: list[re.Match[str]], readings: list[str | None], place: int) -> bool:
    for other in (place - 1, place + 1):
        if 0 <= other < len(tokens) and readings[other] is not None:
            first, second = sorted((tokens[place].span(), tokens[other].span()))
            if second[0] - first[1] == 1:
                return True
    return False


def _reading(token: str) -> str | None:
    """The word behind a token, of the same length; None when it means what it says."""
    shape = _SHAPE.fullmatch(token)
    if shape is None or len(token) > LONGEST or token in _MEANT_SO:
        return None
    lead, body, tail = shape["lead"] or "", shape["body"], shape["tail"] or ""
    if lead == "@" and body not in _LEADS["@"]:
        return None
    inside = _is_disguised_inside(body, tail)
    read_lead = bool(lead) and (body in _LEADS[lead] if lead in _LEADS else _reads_dollar(body))
    read_tail = bool(tail) and (inside or _reads_tail(body, tail))
    if (lead == "0" and not read_lead) or (tail and not read_tail) or not (inside or read_lead or read_tail):
        return None
    word = body.translate(_LETTER_OF) if inside else body
    if word != body.translate(_LETTER_OF):
        return None
    return (lead.translate(_LETTER_OF) if read_lead else lead) + word + tail.translate(_LETTER_OF) + shape["end"]


def _is_disguised_inside(body: str, tail: str) -> bool:
    groups = _GROUPS.findall(body)
    letters = [character for character in body if character.isalpha()]
    if not groups or body in _MEANT_SO or len(letters) < 2 * len(groups):
        return False
    if not _are_signs_letters(body) or _MEANS_ITS_NUMBER.search(body):
        return False
    if all(group[0] in _CONSONANTS for group in groups) and not set("aeiouy").intersection(letters):
        return False
    if len(letters) > 2:
        return True
    whole = body + tail
    return bool(_VOWEL_BETWEEN.fullmatch(whole) or _DOUBLED_BETWEEN.fullmatch(whole))


def _are_signs_letters(body: str) -> bool:
    """`b!tch`, `h@te`; not `wow!nice` and `hi@tom`: what is said before a sign that means itself has a vowel."""
    before, sign, after = re.split(r"([!@])", body, maxsplit=1) if re.search("[!@]", body) else (body, "", "")
    return not sign or (len(after) > 1 and not set("aeiouy").intersection(before.translate(_LETTER_OF)))


def _reads_dollar(body: str) -> bool:
    return _FOLLOWS_AN_S.match(body) is not None and body not in _TICKERS


def _reads_tail(body: str, tail: str) -> bool:
    """`a$$`, `boob$`, `fr33`; not `us$`, `gpt3`, `t00`."""
    if tail[0] == "$":
        return body not in _CURRENCIES or (body == "a" and tail == "$$")
    return tail == "33" and len(body) > 1 and not set("aeiouy").intersection(body)
