"""What a review packet says: the formats of `packet.json`, which has everything but the pictures, and names those."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, Field

from pipelines.manifest import FrameRef, Profile
from pipelines.record import Modality, TextSource
from pipelines.strict import Identifier, Sha256, Strict
from workers.runs.rereading import Reading
from workers.runs.run import Change, Named
from workers.verdicts.timeline import Stretch


class Hit(Strict):
    """What one item says for one policy. `live` is what live's models said of the same item, null if it had none.

    `missed`: live did not have it, or not as high as the policy's `watch`.
    """

    policy: str
    probability: float
    label: str
    live: float | None = None
    missed: bool = False


class Mark(Strict):
    """A lexicon's term that counts, at its place in a text; `chain` are the steps from what stands there to it."""

    start: int
    end: int
    term: str
    policy: str
    chain: tuple[str, ...] = ()


class Text(Strict):
    """A line of the transcript, the chat or the screen. `chain` names the steps that made `normalised` of it.

    `unmasked` is what was scored beside it, null where there were no disguises. `live` says how live had read it,
    `live_text` what it read instead. `normalised` is null where it is the text; `chain` is empty, too, where the steps
    have changed since.
    """

    at: AwareDatetime
    source: TextSource
    text: str
    normalised: str | None = None
    chain: tuple[str, ...] = ()
    unmasked: str | None = None
    language: str | None = None
    users: int = 0
    repeats: int = 1
    joined: int = 0
    hits: tuple[Hit, ...] = ()
    marks: tuple[Mark, ...] = ()
    live: Reading = "same"
    live_text: str | None = None

    @property
    def missed(self) -> bool:
        """Whether it speaks for a policy and live did not know."""
        return any(hit.missed for hit in self.hits)


class Picture(Strict):
    """A frame that speaks for a policy, itself or by what is written on it."""

    at: AwareDatetime
    segment_id: Identifier
    frame: FrameRef
    hits: tuple[Hit, ...]

    @property
    def missed(self) -> bool:
        return any(hit.missed for hit in self.hits)

    @property
    def probability(self) -> float:
        return max(hit.probability for hit in self.hits)


class Pass(Strict):
    """One modality over the whole stretch in one pass. Amounts are frames, seconds of audio, frames read or chat lines.

    `segments` counts `examined`, `partly`, `not` and `no_input`; `reasons` those of what is neither whole nor absent.
    """

    segments: dict[str, int]
    reasons: dict[str, int]
    examined: float
    total: float
    skipped: dict[str, float]


class Finding(Strict):
    """What deep says and live did not, for one policy: segments that deep flags, or flags higher, and where."""

    kind: Literal["flagged", "raised"]
    policy: str
    segments: int
    first: AwareDatetime
    last: AwareDatetime
    probability: float = Field(description="the highest deep gives")
    modality: str | None = None
    label: str | None = None
    text: str | None = None


class Examined(Strict):
    """How one pass looked: checkpoints by slot, policies by digest, settings; several where it changed on the way."""

    checkpoints: dict[str, tuple[str, ...]]
    policies: tuple[Sha256, ...]
    settings: dict[str, tuple[str, ...]]
    coverage: dict[Modality, Pass]
    timeline: tuple[Stretch, ...]


class Packet(Strict):
    """Version 1. `since` and `until` are the ends of what was reviewed, `asked` is how it was asked for."""

    schema_id: Literal["liverisk.packet"] = Field(default="liverisk.packet", alias="schema")
    version: Literal[1] = 1
    run: Identifier
    stream_id: Identifier
    since: AwareDatetime
    until: AwareDatetime
    created_at: AwareDatetime
    by: str
    reason: str = ""
    asked: dict[str, str] = {}
    titles: dict[str, str] = Field(description="policy -> its title")
    profile: Profile
    segments: int
    reviewed: int
    deep: Examined
    live: Examined
    found: tuple[Finding, ...] = ()
    changes: tuple[Change, ...] = ()
    texts: tuple[Text, ...] = ()
    texts_left_out: int = Field(default=0, description="texts that nothing speaks for, beyond those kept")
    only_live: tuple[Text, ...] = Field(default=(), description="read by live alone")
    pictures: tuple[Picture, ...] = ()
    unexaminable: tuple[Named, ...] = ()
    kept: tuple[Named, ...] = Field(default=(), description="fused in part from what live had stored, and why")
