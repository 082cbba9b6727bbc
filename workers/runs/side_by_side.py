"""What live said of a stretch beside what a deep review says, gathered segment by segment.

Holds the texts of both passes, and of the records only what a timeline needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipelines.coverage import HARMLESS, NO_INPUT
from pipelines.fusion import LabelsByCheckpoint
from pipelines.policies import Policies
from pipelines.record import MODALITIES, Coverage, Evidence, Modality, Record, TextObservation
from pipelines.record import Hit as Term
from pipelines.text.normalise import normalise
from workers.runs.claims import Claims, claims_of, hits_of, terms_of, watch
from workers.runs.rereading import Earlier, Heard
from workers.runs.reviewed import Examined, Hit, Mark, Pass, Picture, Text
from workers.verdicts.timeline import ends_at, is_flagged, timeline

TEXTS_KEPT = 20_000
"""Of a packet: those that speak for a policy or that live had not read first, then the earliest."""
PICTURES_KEPT = 60
PICTURES_A_SEGMENT = 3

Hits = Mapping[str, Evidence]
"""What one item says for the policies that it speaks for."""


@dataclass(frozen=True, slots=True)
class _Read:
    """A text that deep read, what it says for which policies, and the lexicon's terms in it that count."""

    heard: Heard
    text: TextObservation
    hits: Hits
    terms: tuple[Term, ...]


@dataclass(slots=True)
class _Tally:
    """One modality's coverage, summed up."""

    segments: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    skipped: dict[str, float] = field(default_factory=dict)
    examined: float = 0
    total: float = 0

    def add(self, seen: Coverage | None) -> None:
        seen = seen or Coverage(status="not", reason="unreported")
        self.segments[NO_INPUT if seen.reason == NO_INPUT else seen.status] += 1
        if seen.status != "examined" and seen.reason not in HARMLESS:
            self.reasons[seen.reason or seen.status] += 1
        self.examined += seen.examined
        self.total += seen.total
        for why, amount in seen.skipped.items():
            self.skipped[why] = self.skipped.get(why, 0) + amount

    def sum(self) -> Pass:
        return Pass(
            segments=dict(self.segments),
            reasons=dict(self.reasons),
            examined=round(self.examined, 1),
            total=round(self.total, 1),
            skipped=self.skipped,
        )


class Side:
    """One pass over the stretch."""

    def __init__(self) -> None:
        self.texts: list[Heard] = []
        self._records: list[Record] = []
        self._tallies: dict[Modality, _Tally] = {modality: _Tally() for modality in MODALITIES}
        self._checkpoints: dict[str, dict[str, None]] = {}
        self._policies: dict[str, None] = {}
        self._settings: dict[str, dict[str, None]] = {}

    def add(self, record: Record, claims: Claims) -> None:
        seen = record.observations
        for modality, tally in self._tallies.items():
            tally.add(seen.coverage.get(modality))
        for slot, ref in seen.checkpoints.items():
            self._checkpoints.setdefault(slot, {})[f"{ref.id}@{ref.digest} ({ref.session})"] = None
        for name, value in record.settings.items():
            self._settings.setdefault(name, {})[str(value)] = None
        self._policies[record.policy_digest] = None
        self.texts += (_heard(record, text, claims) for text in seen.texts)
        self._records.append(_outline(record))

    def examined(self) -> Examined:
        return Examined(
            checkpoints={slot: tuple(used) for slot, used in sorted(self._checkpoints.items())},
            policies=tuple(self._policies),
            settings={name: tuple(values) for name, values in sorted(self._settings.items())},
            coverage={modality: tally.sum() for modality, tally in self._tallies.items()},
            timeline=timeline(self._records),
        )

    @property
    def segments(self) -> int:
        return len(self._records)

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """From the first segment's start to the last one's end."""
        if not self._records:
            return None
        return min(one.captured_at for one in self._records), max(map(ends_at, self._records))


class SideBySide:
    """Both passes. `add` takes each segment's records, either of which may be missing."""

    def __init__(self, policies: Policies, labels: LabelsByCheckpoint) -> None:
        self.live, self.deep = Side(), Side()
        self._policies, self._labels = policies, labels
        self._read: list[_Read] = []
        self._pictures: list[Picture] = []

    def add(self, live: Record | None, deep: Record | None) -> None:
        before: Claims = claims_of(live, self._labels, self._policies) if live else {}
        if live:
            self.live.add(live, before)
        if not deep:
            return
        claims = claims_of(deep, self._labels, self._policies)
        self.deep.add(deep, claims)
        hits, terms = hits_of(deep, claims, self._policies), terms_of(deep, self._labels, self._policies)
        for text, own in zip(deep.observations.texts, terms, strict=True):
            place = text.source, text.at_s, text.text
            self._read.append(_Read(_heard(deep, text, claims), text, hits.get(place, {}), own))
        self._pictures += self._pictures_of(deep, hits, before)

    def texts(self) -> tuple[tuple[Text, ...], int]:
        """What deep read, in the order of time, and how many texts were left out for their number."""
        earlier = Earlier(self.live.texts)
        read = [self._text(one, earlier) for one in self._read]
        first = sorted(read, key=lambda one: (not one.hits, one.live == "same", one.at))[:TEXTS_KEPT]
        return tuple(sorted(first, key=lambda one: one.at)), len(read) - len(first)

    def only_live(self) -> tuple[Text, ...]:
        """What live had heard or read and deep did not."""
        again = Earlier(self.deep.texts)
        gone = (heard for heard in self.live.texts if again.match(heard).reading == "new")
        return tuple(Text(at=one.at, source=one.source, text=one.text) for one in gone)[:TEXTS_KEPT]

    def pictures(self) -> tuple[Picture, ...]:
        """The frames that say most, in the order of time: what live had missed first, not all of one segment."""
        kept: list[Picture] = []
        of_segment: Counter[str] = Counter()
        for one in sorted(self._pictures, key=lambda one: (not one.missed, -one.probability)):
            if of_segment[one.segment_id] < PICTURES_A_SEGMENT and len(kept) < PICTURES_KEPT:
                of_segment[one.segment_id] += 1
                kept.append(one)
        return tuple(sorted(kept, key=lambda one: one.at))

    def _text(self, read: _Read, earlier: Earlier) -> Text:
        text, match = read.text, earlier.match(read.heard)
        known = match.live.probabilities if match.live else {}
        form = normalise(text.text)
        return Text(
            at=read.heard.at,
            source=text.source,
            text=text.text,
            normalised=text.normalised if text.normalised != text.text else None,
            chain=form.chain if form.text == text.normalised else (),
            unmasked=text.unmasked,
            language=text.language,
            users=len(text.users),
            repeats=text.repeats,
            joined=text.joined,
            hits=tuple(self._hit(policy, one, known.get(policy)) for policy, one in read.hits.items()),
            marks=tuple(
                Mark(start=one.start, end=one.end, term=one.term, policy=one.policy, chain=one.chain)
                for one in read.terms
            ),
            live=match.reading,
            live_text=match.live.text if match.live and match.reading == "changed" else None,
        )

    def _pictures_of(self, record: Record, hits: Claims, before: Claims) -> Iterator[Picture]:
        """One for each frame that speaks for a policy, or on which something that does is written."""
        by_frame: dict[int, dict[str, Hit]] = {}
        for place, by_policy in hits.items():
            for policy, one in by_policy.items():
                if one.frame is None or one.frame >= len(record.media):
                    continue
                known = before.get(place, {}).get(policy)
                hit = self._hit(policy, one, known.probability if known else None)
                of_frame = by_frame.setdefault(one.frame, {})
                if policy not in of_frame or hit.probability > of_frame[policy].probability:
                    of_frame[policy] = hit
        for index, of_frame in by_frame.items():
            yield Picture(
                at=record.captured_at + timedelta(seconds=record.media[index].at_s),
                segment_id=record.segment_id,
                frame=record.media[index],
                hits=tuple(of_frame.values()),
            )

    def _hit(self, policy: str, evidence: Evidence, live: float | None) -> Hit:
        return Hit(
            policy=policy,
            probability=evidence.probability,
            label=evidence.label,
            live=live,
            missed=live is None or live < watch(self._policies, policy) <= evidence.probability,
        )


def _heard(record: Record, text: TextObservation, claims: Claims) -> Heard:
    return Heard(
        at=record.captured_at + timedelta(seconds=text.at_s),
        source=text.source,
        text=text.text,
        normalised=text.normalised,
        probabilities={
            policy: one.probability for policy, one in claims.get((text.source, text.at_s, text.text), {}).items()
        },
    )


def _outline(record: Record) -> Record:
    """What a timeline needs; the pass may be of several runs, where some were applied."""
    return record.model_copy(
        update={
            "run": "live",
            "media": (),
            "observations": record.observations.model_copy(update={"frames": (), "texts": ()}),
            "verdicts": tuple(filter(is_flagged, record.verdicts)),
        }
    )
