"""Chat of one segment as observations: what several people wrote, or one wrote often, is examined once."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.manifest import ChatLine
from pipelines.record import TextObservation
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise


def group_chat(lines: Sequence[ChatLine]) -> tuple[tuple[TextObservation, ...], dict[str, float]]:
    """Observations in order of first appearance, and how many lines were spared: repeated, or without a letter."""
    groups: dict[str, list[ChatLine]] = {}
    without_letters = 0
    for line in lines:
        key = normalise(line.text).text
        if any(character.isalnum() for character in key):
            groups.setdefault(key, []).append(line)
        else:
            without_letters += 1
    repeated = len(lines) - without_letters - len(groups)
    skipped = {"repeated": repeated, "no_letters": without_letters}
    return tuple(_observation(key, group) for key, group in groups.items()), {k: n for k, n in skipped.items() if n}


def _observation(normalised: str, group: Sequence[ChatLine]) -> TextObservation:
    return TextObservation(
        source="chat",
        at_s=group[0].at_s,
        end_s=group[-1].at_s if len(group) > 1 else None,
        text=group[0].text,
        normalised=normalised,
        language=language_of(group[0].text),
        users=tuple(dict.fromkeys(line.user for line in group)),
        repeats=len(group),
    )
