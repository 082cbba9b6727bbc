"""One checkpoint at work on the items of a comparison, timed; `workers.comparison.apart` gives it its own process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import kinds
from pipelines.cards import Card, CardError, Session
from pipelines.golden import golden_findings
from pipelines.items import CheckpointRef, Clip, Failure, Item, Line, Picture, Result, Scores, Seen
from pipelines.media import DecodeError, DecodeLimits, Decoder
from pipelines.models import Model
from pipelines.record import TextObservation
from pipelines.scoring import ModelUnusable
from pipelines.text_scores import score_texts
from workers.decoder.contained import Contained

ALONE = 8
"""So many items of each portion are asked one at a time, too: what a single question takes."""

Question = TextObservation | Path | bytes | Item
"""A text with its second view, as the pool asks it; an image as a file or its bytes; or just what a model takes."""
Native = dict[str, float] | None


class Unusable(RuntimeError):
    """A checkpoint that cannot be compared; one line that names it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A verified checkpoint and how the slot would run it. `threads` 0: half the cores, as the engine has it."""

    slot: str
    card: Card
    folder: Path
    ref: CheckpointRef
    session: Session
    device: str = "cpu"
    threads: int = 0
    max_batch: int = 8
    max_side_px: int = 1280


@dataclass(slots=True)
class Answers:
    """One entry a question: native scores by label, or None and in `failed` the class of what went wrong.

    `batches` are (items, seconds) of the model's calls, `alone_s` those of single items.
    """

    scores: list[Native] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    batches: list[tuple[int, float]] = field(default_factory=list)
    alone_s: list[float] = field(default_factory=list)

    def add(self, other: Answers) -> None:
        self.scores += other.scores
        self.failed += other.failed
        self.batches += other.batches
        self.alone_s += other.alone_s


@dataclass(frozen=True, slots=True)
class Memory:
    """Peaks of the process: main memory, and what torch holds of a GPU. None: not known here."""

    main_mb: float | None
    device_mb: float | None


class Running:
    """A loaded, warmed-up checkpoint. Raises `Unusable` when it is not to be had."""

    def __init__(self, candidate: Candidate) -> None:
        self._candidate = candidate
        self._decoder = Contained(DecodeLimits())
        threads = candidate.threads or max(1, (os.cpu_count() or 1) // 2)
        try:
            self._model: Model = kinds.load(
                candidate.card, candidate.folder, session=candidate.session, device=candidate.device, threads=threads
            )
            self._model.warm_up()
        except CardError as error:
            raise Unusable(str(error)) from None
        except ModelUnusable as error:
            raise Unusable(f"{candidate.card.id}: {error}") from None
        except Exception as error:
            raise Unusable(f"{candidate.card.id}: {type(error).__name__} while warming up") from error

    def score(self, questions: Sequence[Question]) -> Answers:
        """Answers in order; what cannot be decoded or scored is a failure of that question alone."""
        timed = _Timed(self._model, self._candidate)
        texts = [question for question in questions if isinstance(question, TextObservation)]
        if texts and len(texts) < len(questions):
            raise TypeError("texts and other items in one portion")
        if texts:
            scored, _ = score_texts(texts, timed)
            found = [(text.scores.get(self._candidate.slot), text.error) for text in scored]
            items: list[Item] = [Line(text.normalised) for text in texts]
        else:
            items, found = self._of_items(questions, timed)
        return Answers(
            scores=[scores for scores, _ in found],
            failed=[error or "NoScores" for scores, error in found if scores is None],
            batches=timed.batches,
            alone_s=list(self._alone(items)),
        )

    def golden(self, path: Path) -> tuple[str, ...]:
        """A line for each golden example of the file that comes out otherwise than expected."""
        return golden_findings(self._candidate.card, self._model, path)

    def _of_items(
        self, questions: Sequence[Question], timed: _Timed
    ) -> tuple[list[Item], list[tuple[Native, str | None]]]:
        opened = [_opened(question, self._decoder, self._candidate.max_side_px) for question in questions]
        items = [item for item in opened if not isinstance(item, Failure)]
        results = iter(timed.ask(self._candidate.slot, items))
        return items, [_native(item if isinstance(item, Failure) else next(results)) for item in opened]

    def _alone(self, items: Sequence[Item]) -> Iterator[float]:
        for item in items[:: max(1, len(items) // ALONE)][:ALONE]:
            started = time.perf_counter()
            try:
                self._model.predict([item])
            except Exception:  # noqa: BLE001, S112  # a failure was counted in its batch; its time says nothing
                continue
            yield time.perf_counter() - started


def peak_memory() -> Memory:
    """Of this process since it began. A peak that a parent handed down does not count."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        main: float | None = int(line.split()[1]) / 1024
    except (OSError, StopIteration):
        main = None
    torch = sys.modules.get("torch")
    used = torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized()
    return Memory(main, torch.cuda.max_memory_reserved() / 2**20 if torch is not None and used else None)


class _Timed:
    """`Models` of one slot that cuts questions into the slot's batches and keeps the time of each."""

    def __init__(self, model: Model, candidate: Candidate) -> None:
        self._model = model
        self._candidate = candidate
        self.batches: list[tuple[int, float]] = []

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return {self._candidate.slot: self._candidate.ref}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        del slot
        size = self._candidate.max_batch
        batches = [items[start : start + size] for start in range(0, len(items), size)]
        return [result for batch in batches for result in self._asked(batch)]

    def _asked(self, batch: Sequence[Item]) -> Sequence[Result]:
        """A batch that fails is asked item by item, as the engine comes to do, too."""
        started = time.perf_counter()
        try:
            results = self._model.predict(batch)
        except Exception as error:  # noqa: BLE001  # whatever a strange checkpoint raises is its answer
            if len(batch) == 1:
                return [Failure(error=type(error).__name__)]
            return [result for item in batch for result in self._asked([item])]
        self.batches.append((len(batch), time.perf_counter() - started))
        return results


def _opened(question: Question, decoder: Decoder, max_side_px: int) -> Item | Failure:
    if isinstance(question, TextObservation):
        return Line(question.normalised)
    if isinstance(question, Picture | Seen | Clip | Line):
        return question
    try:
        data = question.read_bytes() if isinstance(question, Path) else question
        return decoder.image(data, max_side_px=max_side_px)
    except (DecodeError, OSError) as error:
        return Failure(error=type(error).__name__)


def _native(result: Result) -> tuple[Native, str | None]:
    """Rounded as records keep scores. What a speech or on-screen text slot says has no labels, and is no failure."""
    if isinstance(result, Failure):
        return None, result.error
    return {label: round(score, 5) for label, score in result.labels.items()} if isinstance(
        result, Scores
    ) else {}, None
