"""Texts of one segment, scored by every text slot, and what it means for coverage where a score is lacking."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pipelines import coverage as why
from pipelines.items import Failure, Line, Scores
from pipelines.models import DeadlinePassed, Models
from pipelines.record import Coverage, TextObservation

SLOTS = "text."
"""What the name of a slot begins with that scores texts."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Texts, by index, that lack the scores of `slot`, and why; `slot` is None when there is none to score them."""

    slot: str | None
    reason: str
    texts: frozenset[int]


def score_texts(
    texts: Sequence[TextObservation], models: Models
) -> tuple[tuple[TextObservation, ...], tuple[Loss, ...]]:
    """The texts with the scores of every text slot, and what each slot left out. A failed text keeps the error."""
    slots = [slot for slot in models.checkpoints if slot.startswith(SLOTS)]
    everything = frozenset(range(len(texts)))
    if not texts:
        return (), ()
    if not slots:
        return tuple(texts), (Loss(None, why.NO_MODEL, everything),)
    scored = list(texts)
    losses: list[Loss] = []
    for slot in slots:
        try:
            results = models.ask(slot, [Line(text.normalised) for text in texts])
        except DeadlinePassed:
            losses.append(Loss(slot, why.DEADLINE, everything))
            continue
        failed = frozenset(index for index, result in enumerate(results) if not isinstance(result, Scores))
        losses.append(Loss(slot, why.MODEL_FAILED, failed))
        scored = [_scored(text, slot, result) for text, result in zip(scored, results, strict=True)]
    return tuple(scored), tuple(losses)


def lessened(
    seen: Coverage, own: Collection[int], texts: Sequence[TextObservation], losses: Sequence[Loss]
) -> Coverage:
    """The coverage of the modality whose texts are `own`: less than `seen` in proportion to those that lack scores.

    The slot that lacks most is named.
    """
    lacking = [frozenset(own) & loss.texts for loss in losses]
    lost = frozenset[int]().union(*lacking)
    if not lost:
        return seen
    worst, _ = max(zip(losses, lacking, strict=True), key=lambda pair: len(pair[1]))
    share = sum(texts[index].repeats for index in own if index not in lost) / sum(texts[i].repeats for i in own)
    return seen.model_copy(
        update={
            "status": "partly" if share else "not",
            "reason": worst.reason,
            "detail": worst.slot or seen.detail,
            "examined": round(seen.examined * share, 2),
        }
    )


def was_lessened(seen: Coverage, texts: int) -> bool:
    """Whether this coverage of a modality with so many texts is what `lessened` made of another."""
    by_slot = seen.reason in (why.MODEL_FAILED, why.DEADLINE) and (seen.detail or "").startswith(SLOTS)
    return texts > 0 and (by_slot or seen.reason == why.NO_MODEL)


def _scored(text: TextObservation, slot: str, result: object) -> TextObservation:
    if isinstance(result, Scores):
        rounded = {label: round(score, 5) for label, score in result.labels.items()}
        return text.model_copy(update={"scores": {**text.scores, slot: rounded}})
    return text.model_copy(update={"error": result.error if isinstance(result, Failure) else type(result).__name__})
