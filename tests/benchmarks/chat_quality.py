"""How many risky chat lines are found, and how many ordinary ones are flagged, on lines written apart from training.

    python -m tests.benchmarks.chat_quality [--misses]

A line is flagged when the calibrated probability of any policy reaches that policy's `review`; a risky line is found
when it is flagged under one of its own policies. Three readings: model with lexicon, model alone, lexicon alone.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.cards import CARDS_DIRECTORY
from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.strict import Strict
from pipelines.text.training.evaluate import Share
from tests.benchmarks.bench import say
from workers.config import Config, load_config
from workers.score import Scorer

LINES_FILE = CARDS_DIRECTORY / "e5-small-risk" / "evaluation" / "chat.jsonl"
RECALL = 0.90
FALSE_ALARMS = 0.05

READINGS: Mapping[str, tuple[tuple[str, ...], bool]] = {
    "model and lexicon": (("text",), True),
    "model alone": (("text",), False),
    "lexicon alone": ((), True),
}
"""Name -> the modalities whose models are asked, and whether the lexicon is read."""


class ChatLine(Strict):
    """No `policies`: ordinary. `evasive`: it means not to be found."""

    text: str
    language: str
    policies: tuple[str, ...]
    evasive: bool
    note: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A line and the policies that reach `review`."""

    line: ChatLine
    flagged: frozenset[str]

    @property
    def found(self) -> bool:
        return bool(self.flagged & set(self.line.policies))


def read_lines(path: Path = LINES_FILE) -> tuple[ChatLine, ...]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return tuple(ChatLine.model_validate(json.loads(line)) for line in lines if line.strip())


def judge(config: Config, lines: Sequence[ChatLine], modalities: Sequence[str], *, lexicon: bool) -> tuple[Judged, ...]:
    """Every line by itself, exactly as `liverisk score --lines` sees it."""
    thresholds = {name: policy.thresholds for name, policy in read_policies(POLICIES_FILE).policies.items()}
    with Scorer.open(config, modalities, report=lambda _: None, lexicon=lexicon) as scorer:
        scored = list(scorer.texts([line.text for line in lines]))
    judged = []
    for line, score in zip(lines, scored, strict=True):
        if score.error is not None or score.policies is None:
            raise SystemExit(f"a line could not be scored: {score.error}")
        reached = {name for name, probability in score.policies.items() if probability >= thresholds[name].review}
        judged.append(Judged(line, frozenset(reached)))
    return tuple(judged)


def recall(judged: Sequence[Judged]) -> Share:
    risky = [one for one in judged if one.line.policies]
    return Share(sum(one.found for one in risky), len(risky))


def false_alarms(judged: Sequence[Judged]) -> Share:
    ordinary = [one for one in judged if not one.line.policies]
    return Share(sum(bool(one.flagged) for one in ordinary), len(ordinary))


def run(config: Config, *, misses: bool = False) -> Iterator[str]:
    """Prints the figures of all readings, and yields what the first of them misses."""
    lines = read_lines()
    say("chat lines        language  lines   risky found          evasive ones found   ordinary flagged")
    for name, (modalities, lexicon) in READINGS.items():
        judged = judge(config, lines, modalities, lexicon=lexicon)
        for language in dict.fromkeys(line.language for line in lines):
            own = [one for one in judged if one.line.language == language]
            evasive = recall([one for one in own if one.line.evasive])
            say(f"{name:<17} {language:<9} {len(own):>5}   {recall(own)!s:<20} {evasive!s:<20} {false_alarms(own)}")
            if name == next(iter(READINGS)):
                yield from _shortfalls(language, own)
        if misses and name == next(iter(READINGS)):
            _say_misses(judged)


def _shortfalls(language: str, judged: Sequence[Judged]) -> Iterator[str]:
    found, alarms = recall(judged), false_alarms(judged)
    if found.value < RECALL:
        yield f"chat {language}: recall {found.value:.3f} is below {RECALL:g}"
    if alarms.value > FALSE_ALARMS:
        yield f"chat {language}: {alarms.value:.3f} of ordinary lines flagged, more than {FALSE_ALARMS:g}"


def _say_misses(judged: Sequence[Judged]) -> None:
    """By note, never by text: whoever tunes by the lines themselves has no test set any more."""
    for one in judged:
        if one.line.policies and not one.found:
            say(f"  missed   {one.line.language} {','.join(one.line.policies)}: {one.line.note}")
        if not one.line.policies and one.flagged:
            say(f"  flagged  {one.line.language} {','.join(sorted(one.flagged))}: {one.line.note}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--misses", action="store_true", help="say the notes of missed and wrongly flagged lines")
    options = parser.parse_args()
    wrong = list(run(load_config(), misses=options.misses))
    for line in wrong:
        say(f"NOT AS IT MUST BE: {line}")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
