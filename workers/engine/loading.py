"""From a checkpoint's id to a handle that is proven to work: fetched, verified, loaded, warmed up, checked."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence

import numpy as np

from pipelines import kinds
from pipelines.cards import Card, CardError, Session, read_card
from pipelines.checkpoints import Checkpoint, CheckpointError, ensure
from pipelines.golden import golden_findings
from pipelines.items import SAMPLE_RATE_HZ, Clip, Item, Line, Picture, Result, Scores
from pipelines.models import Model, OverEncoder, at_a_time
from pipelines.scoring import ModelUnusable, prove
from workers.checkpoints import s3_fetcher
from workers.config import Config, Filling
from workers.engine.aside import Aside
from workers.engine.bases import held_bases, needed_bytes
from workers.engine.batching import Batcher
from workers.engine.handles import Handle
from workers.engine.memory import cuda_free_bytes, free_bytes
from workers.engine.sharing import Sharing
from workers.registry.slots import Named

logger = logging.getLogger(__name__)

LINGER_S = 0.1
"""Live keeps the device so long after an answer: a segment's next question mostly follows within that time."""


class LoadFailed(Exception):
    """A checkpoint cannot be used; one line that names it."""


class Loading:
    """Slots whose models run on one device share it."""

    def __init__(self, config: Config, report: Callable[[str], None] = logger.info) -> None:
        self.config = config
        self.report = report
        self._aside = Aside()
        settings = config.engine
        self._sharing = {
            on_cuda: Sharing(
                exclusive=not on_cuda,
                bulk_share=settings.bulk_share,
                batch_s=settings.bulk_batch_ms / 1000,
                linger_s=LINGER_S,
            )
            for on_cuda in (False, True)
        }

    def checkpoint(self, name: str) -> Checkpoint:
        """The verified folder; its card is read anew, as one may have come since."""
        card, fetch_s3 = read_card(self.config.cards_directory / name), s3_fetcher(self.config.store)
        return ensure(card, self.config.models, fetch_s3=fetch_s3, progress=self.report)

    def handle(self, slot: str, filling: Filling, checkpoint: Checkpoint, *, beside: bool = False) -> Handle:
        """`beside`: others answer meanwhile, and loading gives way to them."""
        card, device = checkpoint.card, self.config.engine.device
        session = kinds.session_for(card, filling.session, device)
        # The models run side by side: each with every core would have them wait for one another's threads.
        threads = filling.threads or max(1, (os.cpu_count() or 1) // 2)

        def proven() -> tuple[Model, float, float]:
            started = time.monotonic()
            model: Model = kinds.load(card, checkpoint.folder, session=session, device=device, threads=threads)
            loaded = time.monotonic()
            model.warm_up()
            check(card, model, filling.max_batch)
            return model, loaded - started, time.monotonic() - loaded

        gently = beside and not _keeps_threads(session, threads)
        model, load_s, warm_up_s = self._aside(proven) if gently else proven()
        self.report(f"{slot}: {card.id} ready in {load_s + warm_up_s:.1f} s")
        sharing = self._sharing[kinds.runs_on_cuda(card, session, device)]
        batcher = Batcher(
            model.predict, name=slot, max_batch=filling.max_batch, at_a_time=at_a_time(model), sharing=sharing
        )
        encoder = model.encoder if isinstance(model, OverEncoder) else None
        return Handle(checkpoint.ref(session, encoder), batcher, load_s, warm_up_s)

    def deep(self, slot: str, usual: Handle) -> Handle | None:
        """What deep reviews ask instead; None where that is configured to be, or happens to be, the same."""
        filling = self.config.slots[slot].deep
        if filling is None:
            return None
        checkpoint = self.checkpoint(filling.checkpoint)
        return self.handle(slot, filling, checkpoint) if checkpoint.digest != usual.ref.digest else None

    def named(self, slot: str, wanted: Named) -> tuple[Filling, Checkpoint]:
        """The registry's choice on this machine; `LoadFailed` when what the card makes here is another."""
        try:
            checkpoint = self.checkpoint(wanted.id)
        except (CardError, CheckpointError, OSError) as error:
            raise LoadFailed(_line(wanted.id, error)) from None
        if checkpoint.digest != wanted.digest:
            raise LoadFailed(
                f"{wanted.id}: the card makes {checkpoint.digest[:12]} here, wanted is {wanted.digest[:12]}"
            )
        return self.filling(slot, wanted.id, checkpoint.card), checkpoint

    def filling(self, slot: str, name: str, card: Card) -> Filling:
        """The slot's settings for another checkpoint than the configured one: its session, if the card can have it."""
        settings = self.config.slots[slot]
        session = settings.session if settings.session in card.fields.sessions else "auto"
        return Filling(checkpoint=name, session=session, threads=settings.threads, max_batch=settings.max_batch)

    def check_memory(self, filling: Filling, checkpoint: Checkpoint) -> str | None:
        """Why there is no room to load it beside what is loaded, if there is none."""
        device = self.config.engine.device
        session = kinds.session_for(checkpoint.card, filling.session, device)
        on_cuda = kinds.runs_on_cuda(checkpoint.card, session, device)
        free = cuda_free_bytes(device) if on_cuda else free_bytes(self.config.engine.memory_limit_mb)
        needed = needed_bytes(self.config, checkpoint.card, held_bases() if session == "torch" else ())
        if needed <= free:
            return None
        return (
            f"{checkpoint.card.id}: takes about {needed >> 20} MiB to load and {free >> 20} MiB are free; "
            "give more, or free the old one first with --drain"
        )

    def tried(self, slot: str, filling: Filling, checkpoint: Checkpoint, *, beside: bool = False) -> Handle:
        """`handle`, with every failure in one line: whatever a strange checkpoint raises must not end the engine."""
        try:
            return self.handle(slot, filling, checkpoint, beside=beside)
        except Exception as error:
            logger.warning("checkpoint refused slot=%s checkpoint=%s", slot, checkpoint.card.id, exc_info=True)
            raise LoadFailed(_line(checkpoint.card.id, error)) from None


def _keeps_threads(session: Session, threads: int) -> bool:
    """Whether the model answers with threads that loading it starts: those would stay at the loader's priority.

    torch has others for whoever asks; ONNX Runtime with one thread works in the asking one.
    """
    return session == "ctranslate2" or (session.startswith("onnx") and threads != 1)


def check(card: Card, model: Model, max_batch: int) -> None:
    """The golden check: one and a full batch of harmless items are scored, finite and with the card's labels.

    Raises `ModelUnusable`. The golden examples beside a card must come out as it says.
    """
    item = _harmless(card)
    for size in {1, max_batch}:
        results = model.predict([item] * size)
        if len(results) != size:
            raise ModelUnusable(f"{len(results)} results for {size} items")
        prove(results)
        _check_labels(card, results)
    for finding in golden_findings(card, model):
        raise ModelUnusable(finding)


def _check_labels(card: Card, results: Sequence[Result]) -> None:
    for result in results:
        if not isinstance(result, Scores):
            continue
        unknown = sorted(set(result.labels) - set(card.fields.labels))
        lacking = sorted(set(card.fields.labels) - set(result.labels))
        if unknown or lacking:
            names = ", ".join(unknown or lacking)
            raise ModelUnusable(
                f"{'scores labels the card does not explain' if unknown else 'gives no score for'}: {names}"
            )


def _harmless(card: Card) -> Item:
    """A grey gradient, a greeting or a second of silence."""
    match card.fields.kind:
        case "whisper":
            return Clip(np.zeros(SAMPLE_RATE_HZ, dtype=np.float32))
        case "image-classification" | "zero-shot-image-classification" | "screen-text":
            ramp = np.linspace(0, 255, 640, dtype=np.uint8)
            return Picture(np.broadcast_to(ramp[None, :, None], (360, 640, 3)).copy())
        case _:
            return Line("hello 你好")


def _line(name: str, error: BaseException) -> str:
    """One line, however much the error says: no segment was near, so it quotes no content."""
    if isinstance(error, CardError | CheckpointError):
        return str(error) if str(error).startswith(name) else f"{name}: {error}"
    if isinstance(error, ModelUnusable):
        return f"{name}: {error}"
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory"
    said = str(error).strip().splitlines()
    return f"{name}: {type(error).__name__}{': ' + said[0][:200] if said else ''}"
