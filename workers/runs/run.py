"""What a run is made of: the objects below `runs/<run>/`, each written once, together its whole memory.

A run is planned into batches of segments. Where a segment needs models, its re-examination leaves an
`Outcome`; when all of a batch have one, the batch is concluded: fused in the order of time, its records
written, and a `Receipt` left. Whatever dies, the objects say what is still to be done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field, StringConstraints

from pipelines.manifest import ObjectKey, Profile
from pipelines.policies import Policies
from pipelines.record import LEXICON, Action, Modality, Observations, Severity
from pipelines.reexamine import Stage
from pipelines.strict import Identifier, Moment, Sha256, Strict
from workers.lanes import Lane

Kind = Literal["review", "rescan"]
State = Literal["requested", "running", "paused", "cancelled", "finished"]
ChangeKind = Literal["flagged", "lifted", "raised", "lowered"]
CHANGE_KINDS: tuple[ChangeKind, ...] = get_args(ChangeKind)
Reason = Annotated[str, StringConstraints(max_length=500)]

BATCH_SEGMENTS = 60
"""Segments concluded by one message: ten minutes of one stream, about a second of work."""


class Request(Strict):
    """A review that somebody, or fusion, asked for; the feeder plans it once the segments up to `until` are there."""

    run: Identifier
    stream_id: Identifier
    since: Moment | None = None
    until: Moment | None = None
    requested_at: Moment
    by: str = Field(max_length=256, description="a user and host, another service, or `fusion`")
    reason: Reason = ""
    policies: tuple[str, ...] = Field(default=(), description="those whose verdict asked for it")


class Item(Strict):
    """One segment of a run. `source` is the record it starts from; `stages` run again, none means fused anew only.

    `audio_before` and `audio_after` are the neighbouring segments' audio, where words may be cut at the border.
    """

    source: str
    stages: tuple[Stage, ...] = ()
    audio_before: ObjectKey | None = None
    audio_after: ObjectKey | None = None


class Batch(Strict):
    """Segments in order of stream and time. Numbered from 1."""

    number: int = Field(ge=1)
    items: tuple[Item, ...]


class Estimate(Strict):
    """What a plan expects, from costs measured on `sampled` segments."""

    sampled: int
    engine_s: float
    wall_s: float


class Plan(Strict):
    """Written last when planning, so that a plan that is there is whole."""

    schema_id: Literal["liverisk.plan"] = Field(default="liverisk.plan", alias="schema")
    version: Literal[1] = 1
    run: Identifier
    kind: Kind
    lane: Lane
    profile: Profile
    created_at: AwareDatetime
    by: str = Field(max_length=256)
    reason: Reason = ""
    selection: dict[str, str] = Field(default={}, description="option -> value, as it was asked for")
    policies: Policies = Field(description="what every segment of the run is fused with")
    checkpoints: dict[str, Sha256] = Field(default={}, description="slot -> digest that its reruns must come from")
    batches: tuple[int, ...] = Field(description="segments of each batch, batch 1 first")
    stages: dict[Stage, int] = Field(default={}, description="stage -> segments that run it again")
    estimate: Estimate | None = None
    apply: bool = Field(default=False, description="its verdicts become the current ones when it finishes")

    @property
    def selected(self) -> int:
        return sum(self.batches)

    @property
    def served(self) -> dict[str, Sha256]:
        """The checkpoints that an engine must serve for it; its lexicon lies with the run."""
        return {slot: digest for slot, digest in self.checkpoints.items() if slot != LEXICON}


class Outcome(Strict):
    """What re-examining one segment gave. `problem` names why stored observations stand in for some or all of it.

    `reused` are the modalities whose new observations could not be had, each with its reason: `media_expired`,
    `crashed`. `observations` is the whole of the segment's, new and stored; null: only the stored ones remain.
    `rescored` are the stages that stored embeddings were enough for.
    """

    observations: Observations | None = None
    reused: dict[Modality, str] = {}
    stage_ms: dict[str, float] = {}
    rescored: tuple[Stage, ...] = ()


class Standing(Strict):
    """A verdict in short."""

    severity: Severity
    action: Action
    probability: float


class Change(Strict):
    """One policy of one segment whose verdict differs from that of the record it was made from.

    `modality`, `label` and `text` are of the strongest evidence on the side that is flagged higher.
    """

    kind: ChangeKind
    policy: str
    stream_id: Identifier
    segment_id: Identifier
    captured_at: AwareDatetime
    language: str | None = None
    region: str | None = None
    viewers: int | None = None
    before: Standing
    after: Standing
    modality: str | None = None
    label: str | None = None
    text: str | None = None


class Named(Strict):
    """A segment that a report names, and why."""

    stream_id: str
    segment_id: str
    reason: str


class Receipt(Strict):
    """One batch concluded. `recorded` + `unexaminable` are all its segments; `kept` were fused from what was stored."""

    batch: int
    at: AwareDatetime
    recorded: int
    unexaminable: tuple[Named, ...] = ()
    kept: tuple[Named, ...] = ()
    changes: tuple[Change, ...] = ()


class Mark(Strict):
    """Who paused, cancelled or finished a run, and when."""

    at: AwareDatetime
    by: str = Field(max_length=256)


class Progress(Strict):
    """Where a run stands: selected = recorded + unexaminable + examined + waiting, at every moment.

    `examined` segments have new observations and wait to be fused with their batch; `detail` says what the run
    waits for, when it does. Rate and ETA are the feeder's, absent when none has lately reported.
    """

    run: Identifier
    kind: Kind
    state: State
    lane: Lane
    selected: int
    recorded: int
    unexaminable: int
    examined: int
    waiting: int
    changes: int
    created_at: AwareDatetime
    reason: str = ""
    rate_per_s: float | None = None
    eta_s: float | None = None
    detail: str = ""

    @property
    def done(self) -> int:
        return self.recorded + self.unexaminable


def new_run_id(kind: Kind, stem: str) -> str:
    """`rescan-20260504t120000-<stem>`: sorts by time within its kind; `stem` tells two of one second apart."""
    return f"{kind}-{datetime.now(UTC):%Y%m%dt%H%M%S}-{stem}"
