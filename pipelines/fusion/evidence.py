"""From what the models said and the lexicon found to evidence: each item as each policy sees it, calibrated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pipelines.cards import Label
from pipelines.fusion.hits import counting
from pipelines.fusion.log_odds import DIGITS, excess, raised
from pipelines.items import CheckpointRef
from pipelines.policies import Fusion, Policies
from pipelines.record import LEXICON, Evidence, FrameObservation, Hit, Observations, TextObservation

LabelsByCheckpoint = Mapping[str, Mapping[str, Label]]
"""Checkpoint id -> native label -> what the card says it means."""


class UnknownCheckpoint(LookupError):
    """Scores whose card is missing mean nothing; leaving them out would read as clean."""


def evidence_of(
    observations: Observations, labels: LabelsByCheckpoint, policies: Policies
) -> Mapping[str, tuple[Evidence, ...]]:
    """Policy -> its evidence, in the order of the items: one per frame and one per text.

    Where several labels, slots or terms speak for one policy about the same item, the strongest speaks; where models
    and a term agree about a text, the weaker adds a little. Every scored item is there, also those that speak against:
    pooling needs them. Raises `UnknownCheckpoint`.
    """
    reading = _Reading(labels, observations.checkpoints)
    found: dict[str, list[Evidence]] = defaultdict(list)
    for index, frame in enumerate(observations.frames):
        for policy, claim in reading.claims(frame.scores).items():
            found[policy].append(_of_frame(index, frame, claim))
    frame_at = {frame.at_s: index for index, frame in reversed(list(enumerate(observations.frames)))}
    modelled, hits = _claims_and_hits(observations, reading, policies.fusion)
    together = [_with_hits(claims, own, policies) for claims, own in zip(modelled, hits, strict=True)]
    texts = list(zip(observations.texts, together, strict=True))
    for policy in sorted({policy for _, claims in texts for policy in claims}):
        said = [(text, claims[policy]) for text, claims in texts if policy in claims]
        for (text, claim), users in zip(said, _users(said), strict=True):
            frame_index = frame_at.get(text.at_s) if text.source == "screen" else None
            found[policy].append(_of_text(text, claim, users, frame_index))
    return {policy: tuple(items) for policy, items in found.items()}


def counted_hits(observations: Observations, labels: LabelsByCheckpoint, fusion: Fusion) -> tuple[tuple[Hit, ...], ...]:
    """Of each text the lexicon's hits that count as evidence. Raises `UnknownCheckpoint`."""
    return _claims_and_hits(observations, _Reading(labels, observations.checkpoints), fusion)[1]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What one item's strongest label or term says for one policy."""

    probability: float
    label: str
    hit: Hit | None = None


@dataclass(frozen=True, slots=True)
class _Reading:
    labels: LabelsByCheckpoint
    checkpoints: Mapping[str, CheckpointRef]

    def claims(self, scores: Mapping[str, Mapping[str, float]], language: str | None = None) -> Mapping[str, _Claim]:
        """Policy -> the strongest claim of one item's scores; of a text, as its language is calibrated."""
        strongest: dict[str, _Claim] = {}
        for policy, claim in self._all(scores, language):
            if policy not in strongest or claim.probability > strongest[policy].probability:
                strongest[policy] = claim
        return strongest

    def _all(self, scores: Mapping[str, Mapping[str, float]], language: str | None) -> Iterator[tuple[str, _Claim]]:
        for slot, native in sorted(scores.items()):
            meanings = self._meanings(slot)
            for name, score in sorted(native.items()):
                label = meanings.get(name)
                if label is None:
                    continue
                claim = _Claim(round(label.calibration_for(language)(score), DIGITS), f"{slot}/{name}")
                yield from ((policy, claim) for policy in label.policies)

    def _meanings(self, slot: str) -> Mapping[str, Label]:
        checkpoint = self.checkpoints.get(slot)
        if checkpoint is None:
            raise UnknownCheckpoint(f"{slot}: scored, but the record names no checkpoint for it")
        if checkpoint.id not in self.labels:
            raise UnknownCheckpoint(f"{slot}: no model card for {checkpoint.id}; add it to the cards directory")
        return self.labels[checkpoint.id]


def _claims_and_hits(
    observations: Observations, reading: _Reading, fusion: Fusion
) -> tuple[list[Mapping[str, _Claim]], tuple[tuple[Hit, ...], ...]]:
    """What the models claim of each text, and its hits that count beside that."""
    claims = [reading.claims(text.scores, text.language) for text in observations.texts]
    said = [{policy: claim.probability for policy, claim in one.items()} for one in claims]
    return claims, counting(observations.texts, said, fusion)


def _with_hits(claims: Mapping[str, _Claim], hits: Sequence[Hit], policies: Policies) -> Mapping[str, _Claim]:
    """The models' claims, each together with the strongest hit of its policy."""
    together = dict(claims)
    for policy in {hit.policy for hit in hits}:
        hit = max((one for one in hits if one.policy == policy), key=lambda one: one.strength)
        found = _Claim(round(hit.strength, DIGITS), f"{LEXICON}/{hit.term}", hit)
        together[policy] = _agreed(found, claims[policy], policies, policy) if policy in claims else found
    return together


def _agreed(hit: _Claim, model: _Claim, policies: Policies, policy: str) -> _Claim:
    """Both in one: the log-odds of the stronger above the prior, and `hit_corroboration` of the weaker's.

    They are no independent witnesses, as they read the same words; nor are their faults the same. What is below
    `hit_context` does not agree.
    """
    prior, fusion = policies.policies[policy].prior, policies.fusion
    weaker, stronger = sorted((hit, model), key=lambda claim: claim.probability)
    if weaker.probability < fusion.hit_context:
        return stronger
    by = fusion.hit_corroboration * excess(weaker.probability, prior)
    probability = raised(prior, excess(stronger.probability, prior) + by)
    return _Claim(probability, stronger.label, hit.hit)


def _of_frame(index: int, frame: FrameObservation, claim: _Claim) -> Evidence:
    return Evidence(modality="frames", at_s=frame.at_s, probability=claim.probability, label=claim.label, frame=index)


def _of_text(text: TextObservation, claim: _Claim, users: int, frame: int | None) -> Evidence:
    return Evidence(
        modality=text.source,
        at_s=text.at_s,
        probability=claim.probability,
        label=claim.label,
        text=text.text,
        frame=frame,
        weight=text.confidence,
        users=users,
        repeats=text.repeats,
        joined=text.joined,
        surface=claim.hit.surface if claim.hit else None,
        chain=claim.hit.chain if claim.hit else (),
    )


def _users(said: Sequence[tuple[TextObservation, _Claim]]) -> Sequence[int]:
    """Users of each text, counting each user once, at their strongest text: the sum is that of distinct users."""
    counts = [0] * len(said)
    counted: set[str] = set()
    for index in sorted(range(len(said)), key=lambda i: -said[i][1].probability):
        new = set(said[index][0].users) - counted
        counts[index] = len(new)
        counted |= new
    return counts
