"""What fills a slot in one engine, and which of it a segment is given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipelines.items import CheckpointRef
from pipelines.manifest import Profile
from pipelines.strict import Sha256
from workers.engine.batching import Batcher
from workers.registry.streams import takes


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    """One loaded checkpoint and the queue before it."""

    ref: CheckpointRef
    batcher: Batcher
    load_s: float
    warm_up_s: float


@dataclass(frozen=True, slots=True)
class Place:
    """One slot. `deep` is for deep reviews; `canary` serves `share` percent of the streams; `shadow` answers beside.

    `kept` was in use before, and stays loaded so that going back to it takes no loading.
    """

    active: Handle
    deep: Handle | None = None
    canary: Handle | None = None
    share: float = 0
    shadow: Handle | None = None
    kept: Handle | None = None

    @property
    def handles(self) -> Iterator[Handle]:
        found = (self.active, self.deep, self.canary, self.shadow, self.kept)
        return (handle for handle in found if handle is not None)

    @property
    def relied_on(self) -> Iterator[Handle]:
        """Those without which segments go unexamined."""
        return (handle for handle in (self.active, self.deep) if handle is not None)

    def of(self, digest: Sha256) -> Handle | None:
        """The one with this digest, if it is loaded here."""
        return next((handle for handle in self.handles if handle.ref.digest == digest), None)

    def usual(self, profile: Profile) -> Handle:
        return (self.deep if profile == "deep" else None) or self.active


@dataclass(frozen=True, slots=True)
class Wish:
    """For which segment models are wanted.

    `digests` None: the segment takes what its stream is due, be it a canary. A run brings the checkpoints that it was
    planned with, by slot, and is given those as long as they are loaded, and never a canary by chance.
    """

    stream_id: str
    profile: Profile = "live"
    digests: Mapping[str, Sha256] | None = None


def chosen(slot: str, place: Place, wish: Wish) -> Handle:
    """The handle that the segment asks from its start to its end."""
    usual = place.usual(wish.profile)
    if wish.digests is not None:
        return place.of(wish.digests.get(slot, "")) or usual
    if place.canary is not None and usual is place.active and takes(slot, wish.stream_id, place.share):
        return place.canary
    return usual
