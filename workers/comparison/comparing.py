"""`models compare` and `models eval` as functions: from names and items to figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipelines import kinds
from pipelines.cards import Card, CardError, Label, read_card
from pipelines.checkpoints import CheckpointError, ensure
from pipelines.comparison.evaluation import Evaluation, Golden, Tolerance
from pipelines.comparison.pairs import Pair
from pipelines.comparison.report import Comparison, Spoken, compare
from pipelines.golden import GOLDEN_FILE, read_golden
from pipelines.items import CheckpointRef
from pipelines.media import DecodeError
from pipelines.policies import read_policies
from workers.checkpoints import s3_fetcher
from workers.comparison.apart import Ran, run_both
from workers.comparison.asked import Asked, Asking, NothingThere, Stretch, WrongInput, modality_of
from workers.comparison.running import Candidate, Native
from workers.comparison.shadows import shadowed
from workers.config import Config, Slot
from workers.registry.store import State
from workers.storage import Storage

Report = Callable[[str], None]
"""Is told what is being done, a line at a time."""


@dataclass(frozen=True, slots=True)
class How:
    """How an evaluation is made. None: against the active checkpoint; by the golden examples beside the card."""

    against: str | None = None
    golden: Path | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    forced: str | None = None
    with_text: bool = False


def slot_for(config: Config, old: str, new: str, slot: str | None) -> str:
    """The slot that both cards fill: the one given, else the only one, or the only configured one of several."""
    cards = [_card(config, name) for name in (old, new)]
    for card in cards:
        if not card.fields.labels:
            raise WrongInput(f"{card.id}: {card.fields.kind} has no labels to compare")
        if slot is not None and slot not in card.fields.slots:
            raise WrongInput(f"{card.id} does not fill {slot}; its card says {', '.join(card.fields.slots)}")
    if slot is not None:
        return slot
    shared = [name for name in cards[0].fields.slots if name in cards[1].fields.slots]
    if not shared:
        raise WrongInput(f"{old} and {new} fill no slot in common")
    configured = [name for name in shared if name in config.slots]
    if len(shared) > 1 and len(configured) != 1:
        raise WrongInput(f"{old} and {new} both fill {', '.join(shared)}: choose with --slot")
    return (configured if len(shared) > 1 else shared)[0]


def active_in(config: Config, state: State, slot: str) -> str:
    """The card id of what fills the slot: as the registry says, or as configured where it says nothing."""
    if slot not in config.slots:
        raise WrongInput(f"no slot named {slot}; there are {', '.join(config.slots)}")
    filling = state.filling(slot)
    return filling.active.id if filling is not None else config.slots[slot].checkpoint


def side_by_side(
    config: Config, slot: str, old: str, new: str, asking: Asking, report: Report, *, with_text: bool = False
) -> Comparison:
    """Both checkpoints on the same items. Raises `WrongInput`, `CheckpointError`, `Unusable`."""
    candidates = _candidates(config, slot, old, new, report)
    ran = run_both(*candidates, [one.question for one in asking.items], report)
    return _compared(config, candidates, ran, asking, with_text=with_text)


def of_shadow(
    config: Config,
    storage: Storage,
    slot: str,
    stretch: Stretch,
    most: int,
    *,
    old: str | None = None,
    new: str | None = None,
    with_text: bool = False,
) -> Comparison:
    """What a slot's shadow has said so far. Raises `NothingThere`, `WrongInput`, `StorageError`."""
    if not slot.startswith(("vision.", "text.")):
        raise WrongInput(f"{slot}: only shadows of vision and text slots give scores to compare")
    found = shadowed(storage, slot, stretch, most, old=old, new=new, with_text=with_text)
    before, after = (Spoken(ref, _labels(config, ref), {}) for ref in (found.old, found.new))
    policies = read_policies(config.policies_file)
    return compare(found.pairs, before, after, policies, slot=slot, source=found.source, left_out=found.left_out)


def evaluate(
    config: Config,
    state: State,
    slot: str,
    checkpoint: str,
    asking: Asking | None,
    report: Report,
    how: How | None = None,
) -> Evaluation:
    """The checkpoint against the slot's active one; without items only by its golden examples.

    Raises `WrongInput`, `NothingThere`, `CheckpointError`, `Unusable`.
    """
    how = how or How()
    candidates = _candidates(config, slot, how.against or active_in(config, state, slot), checkpoint, report)
    if how.against is None:
        _check_active(state, slot, candidates[0])
    golden = how.golden or candidates[1].card.folder / GOLDEN_FILE
    examples = _golden_items(candidates[1], golden)
    if asking is None:
        if not examples:
            raise NothingThere(f"nothing to judge {checkpoint} by: give --data, or put {GOLDEN_FILE} beside its card")
        asking = Asking(examples, f"{len(examples)} golden examples of {checkpoint}")
    ran = run_both(*candidates, [one.question for one in asking.items], report, golden=golden)
    comparison = _compared(config, candidates, ran, asking, with_text=how.with_text)
    told = Golden(examples=len(examples), findings=ran[1].golden)
    return Evaluation.of(comparison, told, how.tolerance, forced=how.forced)


def _candidates(config: Config, slot: str, old: str, new: str, report: Report) -> tuple[Candidate, Candidate]:
    """Two cards over the same files may still differ: in what their labels mean, or in how they are calibrated."""
    if old == new:
        raise WrongInput(f"{new} is what {slot} has already")
    return _candidate(config, slot, old, report), _candidate(config, slot, new, report)


def _candidate(config: Config, slot: str, name: str, report: Report) -> Candidate:
    card = _card(config, name)
    if slot not in card.fields.slots:
        raise WrongInput(f"{name} does not fill {slot}; its card says {', '.join(card.fields.slots)}")
    settings = config.slots.get(slot, Slot(checkpoint=name))
    session = settings.session if settings.session in card.fields.sessions else "auto"
    try:
        ready = ensure(card, config.models, fetch_s3=s3_fetcher(config.store), progress=report)
        chosen = kinds.session_for(card, session, config.engine.device)
    except CardError as error:
        raise WrongInput(str(error)) from None
    return Candidate(
        slot=slot,
        card=card,
        folder=ready.folder,
        ref=ready.ref(chosen),
        session=chosen,
        device=config.engine.device,
        threads=settings.threads,
        max_batch=settings.max_batch,
        max_side_px=config.examination.frame_side_px,
    )


def _golden_items(candidate: Candidate, path: Path) -> list[Asked]:
    """The golden examples of the file as items, to be timed with."""
    modality = modality_of(candidate.slot)
    try:
        return [
            Asked(f"{path.name}:{number}", "golden example", modality, None, example.item(path.parent))
            for number, example in enumerate(read_golden(path), start=1)
        ]
    except (CardError, DecodeError, OSError) as error:
        raise WrongInput(f"{path}: cannot be used ({error})") from None


def _check_active(state: State, slot: str, candidate: Candidate) -> None:
    """The card may make other files by now than those that serve."""
    filling = state.filling(slot)
    if filling is not None and filling.active.digest != candidate.ref.digest:
        raise CheckpointError(
            f"{slot}: {filling.active} serves, and its card makes {candidate.ref.digest[:12]} here; "
            "what serves cannot be compared with"
        )


def _compared(
    config: Config, candidates: tuple[Candidate, Candidate], ran: tuple[Ran, Ran], asking: Asking, *, with_text: bool
) -> Comparison:
    pairs = [
        _pair(asked, old, new, with_text=with_text)
        for asked, old, new in zip(asking.items, ran[0].scores, ran[1].scores, strict=True)
    ]
    old, new = (
        Spoken(candidate.ref, candidate.card.fields.labels, side.failed, side.cost)
        for candidate, side in zip(candidates, ran, strict=True)
    )
    policies = read_policies(config.policies_file)
    slot = candidates[0].slot
    return compare(pairs, old, new, policies, slot=slot, source=asking.source, left_out=asking.left_out)


def _pair(asked: Asked, old: Native, new: Native, *, with_text: bool) -> Pair:
    text = asked.text if with_text else None
    return Pair(asked.id, asked.where, asked.modality, asked.language, old, new, asked.truth, text)


def _labels(config: Config, ref: CheckpointRef) -> dict[str, Label]:
    return _card(config, ref.id).fields.labels


def _card(config: Config, name: str) -> Card:
    folder: Path = config.cards_directory / name
    try:
        return read_card(folder)
    except CardError as error:
        raise WrongInput(str(error)) from None
