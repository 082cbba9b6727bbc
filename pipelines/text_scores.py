"""Texts of one segment, read with the lexicon and scored by every text slot, and what a lacking score means.

A text slot is asked about both views of a text: as it was normalised, and with its disguises undone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pipelines import coverage as why
from pipelines.embeddings import Embedding, read_embedding
from pipelines.items import CheckpointRef, Failure, Line, Result, Scores
from pipelines.models import DeadlinePassed, Models
from pipelines.record import LEXICON, Coverage, TextObservation
from pipelines.text.lexicon import Lexicon, unmasked

SLOTS = "text."
"""What the name of a slot begins with that scores texts."""


Known = Mapping[tuple[str, str], Embedding]
"""(Slot, view of a text) -> what the slot's encoder made of it before."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Texts, by index, that lack the scores of `slot`, and why; `slot` is None when there is none to score them."""

    slot: str | None
    reason: str
    texts: frozenset[int]


def checkpoints_of(models: Models, lexicon: Lexicon | None) -> dict[str, CheckpointRef]:
    """Slot -> what made the observations; the lexicon stands beside the models' slots."""
    return {**models.checkpoints, **({LEXICON: lexicon.ref} if lexicon is not None else {})}


def known_of(texts: Sequence[TextObservation]) -> Known:
    """The embeddings that the texts came with."""
    found: dict[tuple[str, str], Embedding] = {}
    for text in texts:
        views = [text.normalised, *([text.unmasked] if text.unmasked is not None else [])]
        for slot, stored in text.embeddings.items():
            read = zip(views, map(read_embedding, stored), strict=False)
            found |= {(slot, view): one for view, one in read if one is not None}
    return found


def _with_embeddings(
    texts: Sequence[TextObservation], slot: str, views: Sequence[str], answers: Sequence[Result]
) -> Iterator[TextObservation]:
    """Those texts of which each view has one."""
    made = {
        view: one.embedding.stored()
        for view, one in zip(views, answers, strict=True)
        if isinstance(one, Scores) and one.embedding is not None
    }
    for text in texts:
        own = [text.normalised, *([text.unmasked] if text.unmasked is not None else [])]
        whole = all(view in made for view in own)
        kept = {**text.embeddings, slot: tuple(made[view] for view in own)} if whole else text.embeddings
        yield text.model_copy(update={"embeddings": kept})


def read_texts(texts: Sequence[TextObservation], lexicon: Lexicon | None) -> tuple[TextObservation, ...]:
    """The texts with their second view and the lexicon's hits, both made anew; without a lexicon there are no hits."""
    return tuple(_read(text, lexicon) for text in texts)


def score_texts(
    texts: Sequence[TextObservation], models: Models, *, keep: bool = False, known: Known = MappingProxyType({})
) -> tuple[tuple[TextObservation, ...], tuple[Loss, ...]]:
    """The texts with the scores of every text slot, and what each slot left out. A failed text keeps the error.

    `keep`: also with their embeddings, of the slots that have any; those that are `known` are not made again.
    Of a text with a second view each label has the higher score of the two. It fails when either fails: what a
    disguise hides would otherwise count as looked at.
    """
    slots = [slot for slot in models.checkpoints if slot.startswith(SLOTS)]
    everything = frozenset(range(len(texts)))
    if not texts:
        return (), ()
    if not slots:
        return tuple(texts), (Loss(None, why.NO_MODEL, everything),)
    scored = list(texts)
    losses: list[Loss] = []
    again = [index for index, text in enumerate(texts) if text.unmasked is not None]
    views = [text.normalised for text in texts] + [texts[index].unmasked or "" for index in again]
    for slot in slots:
        try:
            answers = models.ask(slot, [Line(view, keep, known.get((slot, view))) for view in views])
        except DeadlinePassed:
            losses.append(Loss(slot, why.DEADLINE, everything))
            continue
        results = list(answers[: len(texts)])
        for index, answer in zip(again, answers[len(texts) :], strict=True):
            results[index] = _higher(results[index], answer)
        failed = frozenset(index for index, result in enumerate(results) if not isinstance(result, Scores))
        losses.append(Loss(slot, why.MODEL_FAILED, failed))
        scored = [_scored(text, slot, result) for text, result in zip(scored, results, strict=True)]
        if keep:
            scored = list(_with_embeddings(scored, slot, views, answers))
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
    share = sum(_lines(texts[index]) for index in own if index not in lost) / sum(_lines(texts[i]) for i in own)
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


def _lines(text: TextObservation) -> int:
    """A join's lines are there by themselves, too."""
    return 0 if text.joined else text.repeats


def _read(text: TextObservation, lexicon: Lexicon | None) -> TextObservation:
    if lexicon is None:
        return text.model_copy(update={"hits": (), "unmasked": unmasked(text.text)})
    reading = lexicon.read(text.text)
    return text.model_copy(update={"hits": reading.hits, "unmasked": reading.unmasked})


def _higher(first: Result, second: Result) -> Result:
    if not isinstance(first, Scores) or not isinstance(second, Scores):
        return second if isinstance(first, Scores) else first
    return Scores(labels={name: max(score, second.labels.get(name, score)) for name, score in first.labels.items()})


def _scored(text: TextObservation, slot: str, result: object) -> TextObservation:
    if isinstance(result, Scores):
        rounded = {label: round(score, 5) for label, score in result.labels.items()}
        return text.model_copy(update={"scores": {**text.scores, slot: rounded}})
    return text.model_copy(update={"error": result.error if isinstance(result, Failure) else type(result).__name__})
