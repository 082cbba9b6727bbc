"""Asks a slot's shadow what its active checkpoint is asked, beside it, and puts the answers into a block of their own.

Nothing waits for a shadow but the end of a segment, and that only a moment; whatever goes wrong with one is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Protocol

from pipelines.items import CheckpointRef, Item, Line, Result, Scores, ScreenText, Transcript
from pipelines.models import Models
from pipelines.record import FrameObservation, Observations, Shadow, TextObservation

ASKERS = 4
"""Questions of one segment that wait side by side: one a stage."""

Native = dict[str, float] | None


class Shadowed(Models, Protocol):
    """The models of one segment and the shadows beside them."""

    @property
    def shadows(self) -> Mapping[str, CheckpointRef]: ...

    def ask_shadow(self, slot: str, items: Sequence[Item]) -> Sequence[Result]: ...


class Shadowing:
    """The `Models` of one segment that ask shadows, too. `shadows` collects; `close` gives up on the rest."""

    def __init__(self, models: Shadowed) -> None:
        self._models = models
        self._pool = ThreadPoolExecutor(ASKERS, thread_name_prefix="shadow")
        self._asked: dict[str, list[tuple[Sequence[Item], Future[Sequence[Result]]]]] = {}

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return self._models.checkpoints

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        if slot in self._models.shadows:
            question = self._pool.submit(self._models.ask_shadow, slot, items)
            self._asked.setdefault(slot, []).append((items, question))
        return self._models.ask(slot, items)

    def shadows(self, seen: Observations, wait_s: float) -> dict[str, Shadow]:
        """Slot -> what its shadow said within `wait_s`, aligned with the observations."""
        wait_for([question for asked in self._asked.values() for _, question in asked], wait_s)
        return {slot: self._block(slot, asked, seen) for slot, asked in sorted(self._asked.items())}

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _block(
        self, slot: str, asked: Sequence[tuple[Sequence[Item], Future[Sequence[Result]]]], seen: Observations
    ) -> Shadow:
        answered = [(item, result) for items, question in asked for item, result in _pairs(items, question)]
        left_out = sum(result is None for _, result in answered)
        checkpoint = self._models.shadows[slot]
        match slot.partition(".")[0]:
            case "vision":
                frames = aligned_frames([native_of(result) for _, result in answered], seen.frames)
                return Shadow(checkpoint=checkpoint, frames=frames, left_out=left_out)
            case "text":
                said = {item.text: native_of(result) for item, result in answered if isinstance(item, Line)}
                return Shadow(checkpoint=checkpoint, texts=aligned_texts(said, seen.texts), left_out=left_out)
            case _:
                answers = tuple(
                    result if isinstance(result, Transcript | ScreenText) else None for _, result in answered
                )
                return Shadow(checkpoint=checkpoint, answers=answers, left_out=left_out)


def aligned_frames(answers: Sequence[Native], frames: Sequence[FrameObservation]) -> tuple[Native, ...]:
    """The answers, which are those of the frames that were asked about, for each frame; empty when there is none.

    A frame that repeats another has that one's.
    """
    if not any(answers):
        return ()
    asked = [frame for frame in frames if frame.thumbnail_hash is not None and frame.reused_from_s is None]
    by_time = dict(zip((frame.at_s for frame in asked), answers, strict=False))
    of = {id(frame): answer for frame, answer in zip(asked, answers, strict=False)}

    def answer(frame: FrameObservation) -> Native:
        return by_time.get(frame.reused_from_s) if frame.reused_from_s is not None else of.get(id(frame))

    return tuple(answer(frame) for frame in frames)


def aligned_texts(said: Mapping[str, Native], texts: Sequence[TextObservation]) -> tuple[Native, ...]:
    """The answers by text for each observation; of two views each label has the higher score. Empty without any."""
    if not any(said.values()):
        return ()
    return tuple(_both(said.get(text.normalised), text.unmasked, said) for text in texts)


def _both(plain: Native, unmasked: str | None, said: Mapping[str, Native]) -> Native:
    if plain is None or unmasked is None:
        return plain
    second = said.get(unmasked)
    return None if second is None else {name: max(score, second.get(name, score)) for name, score in plain.items()}


def native_of(result: Result | None) -> Native:
    if not isinstance(result, Scores):
        return None
    return {label: round(score, 5) for label, score in result.labels.items()}


def _pairs(items: Sequence[Item], question: Future[Sequence[Result]]) -> Sequence[tuple[Item, Result | None]]:
    if not question.done() or question.cancelled() or question.exception() is not None:
        return [(item, None) for item in items]
    return list(zip(items, question.result(), strict=True))
