"""Changes counted as they come by: memory grows with policies and languages, never with segments or streams."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from pydantic import AwareDatetime

from pipelines.policies import POLICY_IDS
from pipelines.record import ACTIONS, SEVERITIES, Severity
from pipelines.strict import Strict
from workers.runs.run import CHANGE_KINDS, Change, ChangeKind, Named, Receipt, Standing

STREAMS_KEPT = 50
EXAMPLES_KEPT = 3
NAMES_KEPT = 50
KEYS_KEPT = 100
"""Different languages or reasons told apart; what comes after them is counted as `other`."""
NONE = "none"
"""Stands for a language that nobody declared, and for a change without evidence in the segment itself."""


class Counts(Strict):
    """Changes by kind."""

    flagged: int = 0
    lifted: int = 0
    raised: int = 0
    lowered: int = 0

    @property
    def total(self) -> int:
        return self.flagged + self.lifted + self.raised + self.lowered


class StreamChanges(Strict):
    """What changed in one stream. `score` is the rank of the highest new severity (0 to 3) × viewers.

    Both are the highest of any change in the stream; where nobody told the viewers, they count as one.
    """

    stream_id: str
    score: int
    severity: Severity
    viewers: int | None = None
    policies: tuple[str, ...]
    segments: int
    first_at: AwareDatetime
    last_at: AwareDatetime
    changes: Counts


class Left(Strict):
    """Segments that could not be examined as asked: how many, for which reasons, and the first of them by name."""

    count: int = 0
    why: dict[str, int] = {}
    first: tuple[Named, ...] = ()


class LeftTally:
    """Makes a `Left`."""

    def __init__(self) -> None:
        self._why: Counter[str] = Counter()
        self._first: list[Named] = []

    def add(self, named: Named) -> None:
        self._why[_known(named.reason, self._why)] += 1
        if len(self._first) < NAMES_KEPT:
            self._first.append(named)

    def told(self) -> Left:
        return Left(count=self._why.total(), why=dict(self._why.most_common()), first=tuple(self._first))


class StreamTally:
    """The streams that matter most. A stream's changes come together, as a run goes stream by stream."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: dict[str, StreamChanges] = {}
        self._latest = ""
        self._segment = ""

    def add(self, change: Change) -> None:
        if change.stream_id != self._latest:
            self._forget()
            self.count += change.stream_id not in self._kept
            self._latest, self._segment = change.stream_id, ""
        known = self._kept.get(change.stream_id)
        self._kept[change.stream_id] = _with(known, change, new_segment=change.segment_id != self._segment)
        self._segment = change.segment_id

    def told(self) -> tuple[StreamChanges, ...]:
        """Those that matter first."""
        return tuple(sorted(self._kept.values(), key=_urgency)[:STREAMS_KEPT])

    def _forget(self) -> None:
        if len(self._kept) >= 2 * STREAMS_KEPT:
            self._kept = {one.stream_id: one for one in self.told()}


class ExampleTally:
    """The strongest changes of each policy and kind, of different streams and texts."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, ChangeKind], dict[tuple[str, str | None], Change]] = defaultdict(dict)

    def add(self, change: Change) -> None:
        kept = self._kept[change.policy, change.kind]
        alike = (change.stream_id, change.text)
        known = kept.get(alike)
        if known is None or _strength(change) > _strength(known):
            kept[alike] = change
        if len(kept) > EXAMPLES_KEPT:
            del kept[min(kept, key=lambda one: _strength(kept[one]))]

    def told(self) -> Iterator[Change]:
        """By policy and kind, the strongest first."""
        for kind in ((policy, kind) for policy in POLICY_IDS for kind in CHANGE_KINDS):
            yield from sorted(self._kept.get(kind, {}).values(), key=_strength, reverse=True)


class Tallying:
    """Everything there is to count of a run's receipts, given one by one, in their order."""

    def __init__(self) -> None:
        self.recorded = self.segments = 0
        self.unexaminable, self.kept = LeftTally(), LeftTally()
        self.streams, self.examples = StreamTally(), ExampleTally()
        self.total: Counter[ChangeKind] = Counter()
        self.by_policy, self.by_language, self.by_modality = _kinds_by(), _kinds_by(), _kinds_by()

    def add(self, receipt: Receipt) -> None:
        self.recorded += receipt.recorded
        for named in receipt.unexaminable:
            self.unexaminable.add(named)
        for named in receipt.kept:
            self.kept.add(named)
        self.segments += len({(change.stream_id, change.segment_id) for change in receipt.changes})
        for change in receipt.changes:
            self._add(change)

    def _add(self, change: Change) -> None:
        self.total[change.kind] += 1
        self.by_policy[change.policy][change.kind] += 1
        for name, tally in ((change.language, self.by_language), (change.modality, self.by_modality)):
            tally[_known(name or NONE, tally)][change.kind] += 1
        self.streams.add(change)
        self.examples.add(change)


KindsBy = defaultdict[str, Counter[ChangeKind]]


def counts(kinds: Mapping[ChangeKind, int]) -> Counts:
    return Counts(**dict(kinds))


def counts_by(tally: KindsBy) -> dict[str, Counts]:
    """The most changed first."""
    return {name: counts(kinds) for name, kinds in sorted(tally.items(), key=lambda one: (-one[1].total(), one[0]))}


def _kinds_by() -> KindsBy:
    return defaultdict(Counter)


def _known(name: str, so_far: Mapping[str, object]) -> str:
    return name if name in so_far or len(so_far) < KEYS_KEPT else "other"


def _with(known: StreamChanges | None, change: Change, *, new_segment: bool) -> StreamChanges:
    """The stream's changes and one more."""
    seen: Iterable[int | None] = (known.viewers if known else None, change.viewers)
    viewers = max((number for number in seen if number is not None), default=None)
    severity = max(known.severity if known else "none", change.after.severity, key=SEVERITIES.index)
    so_far = known.changes if known else Counts()
    return StreamChanges(
        stream_id=change.stream_id,
        score=SEVERITIES.index(severity) * (1 if viewers is None else viewers),
        severity=severity,
        viewers=viewers,
        policies=tuple(dict.fromkeys((*(known.policies if known else ()), change.policy))),
        segments=(known.segments if known else 0) + new_segment,
        first_at=min(known.first_at, change.captured_at) if known else change.captured_at,
        last_at=max(known.last_at, change.captured_at) if known else change.captured_at,
        changes=so_far.model_copy(update={change.kind: getattr(so_far, change.kind) + 1}),
    )


def _urgency(stream: StreamChanges) -> tuple[int, int, int, str]:
    """Sorts what matters most to the front: severity × viewers, then how much was flagged, then how much changed."""
    return -stream.score, -stream.changes.flagged, -stream.changes.total, stream.stream_id


def _strength(change: Change) -> tuple[int, int, float]:
    """Of the side that is flagged higher."""
    higher: Standing = change.after if change.kind in ("flagged", "raised") else change.before
    return SEVERITIES.index(higher.severity), ACTIONS.index(higher.action), higher.probability
