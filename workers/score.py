"""What the configured models say of one item, without any service: text, image, audio or a whole segment.

Everything but plain text goes through `pipelines.examine`, so that the answer is what the pool's would be.
An item that could not be examined has no policies at all; that is not the same as policies at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipelines import coverage as why
from pipelines.cards import Label, read_cards
from pipelines.examine import examine
from pipelines.fusion import counted_hits, evidence_of, fuse
from pipelines.items import SAMPLE_RATE_HZ, CheckpointRef, Item, Result
from pipelines.manifest import SegmentManifest, parse_manifest
from pipelines.media import DecodeLimits, Decoder
from pipelines.models import Models
from pipelines.policies import Policies, read_policies
from pipelines.record import Coverage, Hit, Observations, TextObservation
from pipelines.segment import ExaminationSettings, Frame, Segment
from pipelines.text.language import language_of
from pipelines.text.lexicon import Lexicon, read_lexicons
from pipelines.text.normalise import normalise
from pipelines.text_scores import checkpoints_of, read_texts, score_texts
from workers.config import Config
from workers.decoder.contained import Contained
from workers.engine.engine import Engine
from workers.fetch import fetch_segment
from workers.scored import (
    AudioScore,
    ImageScore,
    MatchedTerm,
    Probabilities,
    ScreenScore,
    SegmentScore,
    SpanScore,
    TextScore,
)
from workers.storage import ObjectMissing, ObjectTooLarge, OutOfRange

MAX_AUDIO_S = 600.0
TEXTS_AT_A_TIME = 256


class TooLong(ValueError):
    """More audio than one item may have."""


class SlotMissing(LookupError):
    """No slot of the configuration examines this kind of item."""


@dataclass(frozen=True)
class Folder:
    """Media beside a manifest; a key is a path below the folder."""

    path: Path

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        """As `Storage.get`; `ObjectMissing` also for whatever lies outside the folder."""
        path = (self.path / key).resolve()
        if not path.is_relative_to(self.path.resolve()) or not path.is_file():
            raise ObjectMissing(key)
        start = offset or 0
        there = path.stat().st_size - start
        size = there if length is None else min(there, length)
        if max_bytes is not None and size > max_bytes:
            raise ObjectTooLarge(key, size, max_bytes)
        if size <= 0 < start:
            raise OutOfRange(f"{key}: shorter than the range")
        with path.open("rb") as file:
            file.seek(start)
            return file.read(size)


class NoModels:
    """`Models` of no slot at all."""

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return {}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        raise KeyError(slot)


@dataclass(frozen=True)
class Scorer:
    """The models of some slots, what their labels mean, and the lexicon; without one no terms are looked for."""

    models: Models
    labels: Mapping[str, Mapping[str, Label]]
    policies: Policies
    examination: ExaminationSettings
    lexicon: Lexicon | None = None
    decoder: Decoder = field(default_factory=lambda: Contained(DecodeLimits()))

    @classmethod
    @contextmanager
    def open(
        cls, config: Config, modalities: Sequence[str], report: Callable[[str], None], *, lexicon: bool = True
    ) -> Iterator[Scorer]:
        """Loads the slots of `modalities` (`text`, `vision`, `speech`, `ocr`); `SlotMissing` if one has none.

        `LexiconError` when the lexicons cannot be read; `lexicon` False does without them.
        """
        terms = read_lexicons(config.lexicons_directory, today=datetime.now(UTC).date()) if lexicon else None
        slots = {name: slot for name, slot in config.slots.items() if name.partition(".")[0] in modalities}
        for modality in modalities:
            if not any(name.partition(".")[0] == modality for name in slots):
                raise SlotMissing(f"the configuration has no slot for {modality}")
        cards = read_cards(config.cards_directory)
        labels = {name: card.fields.labels for name, card in cards.items()}
        with ExitStack() as stack:
            models: Models = NoModels()
            if slots:
                loaded = Engine.load(config.model_copy(update={"slots": slots}), report=report)
                models = stack.enter_context(loaded).models("score")
            decoder = stack.enter_context(Contained(config.decode_limits))
            yield cls(models, labels, read_policies(config.policies_file), config.examination, terms, decoder)

    def texts(self, texts: Sequence[str]) -> Iterator[TextScore]:
        """One score a text, in order, each as if it stood alone; a few hundred are scored at a time."""
        for start in range(0, len(texts), TEXTS_AT_A_TIME):
            written = read_texts([_written(text) for text in texts[start : start + TEXTS_AT_A_TIME]], self.lexicon)
            scored, _ = score_texts(written, self.models)
            for text in scored:
                yield from self._said(self._of_texts([text]))

    def image(self, data: bytes) -> ImageScore:
        """Raises `DecodeError` when the bytes are no image."""
        picture = self.decoder.image(data, max_side_px=self.examination.frame_side_px)
        seen = self._examined(Segment(_standing_alone(1.0), frames=(Frame(0.0, picture),)))
        examined = seen.coverage["frames"].status != "not"
        return ImageScore(
            scores=seen.frames[0].scores,
            screen=tuple(
                ScreenScore(**dict(said), confidence=text.confidence, box=text.box)
                for text, said in zip(seen.texts, self._said(seen), strict=True)
            ),
            policies=self._strongest(seen) if examined else None,
            error=seen.frames[0].error,
            coverage=_looked_at(seen, "frames", "screen"),
        )

    def audio(self, data: bytes) -> AudioScore:
        """Raises `DecodeError` when the bytes are no audio, `TooLong` when there is too much of it."""
        samples = self.decoder.audio(data, max_s=MAX_AUDIO_S + 1)
        duration_s = samples.size / SAMPLE_RATE_HZ
        if duration_s > MAX_AUDIO_S:
            raise TooLong(f"the audio is longer than {MAX_AUDIO_S:.0f} s; cut it into segments with `liverisk sample`")
        heard = self._examined(Segment(_standing_alone(min(duration_s, 120.0)), audio=samples))
        speech, seen = heard.speech, heard.coverage["speech"]
        said = list(self._said(heard))
        transcript = " ".join(text.text for text in heard.texts)
        return AudioScore(
            text=transcript,
            transcript=transcript,
            language=speech.language if speech else None,
            language_probability=round(speech.language_probability, 4) if speech else 0.0,
            normalised=normalise(transcript).text,
            speech_s=round(speech.speech_s, 2) if speech else 0.0,
            spans=tuple(
                SpanScore(**dict(one), start_s=text.at_s, end_s=text.end_s or text.at_s, confidence=text.confidence)
                for text, one in zip(heard.texts, said, strict=True)
            ),
            terms=_together(said),
            policies=self._strongest(heard) if seen.status != "not" else None,
            error=seen.detail if seen.status == "not" else None,
            coverage=_looked_at(heard, "speech"),
        )

    def manifest(self, path: Path) -> SegmentScore:
        """The segment of a manifest file whose keys are files beside it. Raises `ManifestError`."""
        manifest = parse_manifest(path.read_bytes())
        side_px = self.examination.frame_side_px
        segment = fetch_segment(manifest, Folder(path.parent), decoder=self.decoder, max_side_px=side_px)
        seen = self._examined(segment)
        at = manifest.captured_at.timestamp()
        evidence = evidence_of(seen, self.labels, self.policies)
        verdicts = fuse(evidence, seen.coverage, self.policies, at=at, history={})
        return SegmentScore(
            stream_id=manifest.stream_id,
            segment_id=manifest.segment_id,
            policies={verdict.policy: verdict.probability for verdict in verdicts},
            verdicts=verdicts,
            coverage=dict(seen.coverage),
        )

    def _examined(self, segment: Segment) -> Observations:
        settings = self.examination.for_profile(segment.manifest.profile)
        return examine(segment, self.models, settings, lexicon=self.lexicon).observations

    def _of_texts(self, texts: Sequence[TextObservation]) -> Observations:
        return Observations(texts=tuple(texts), coverage={}, checkpoints=checkpoints_of(self.models, self.lexicon))

    def _said(self, seen: Observations) -> Iterator[TextScore]:
        """Each text by itself, but for the hits that another text gives their context."""
        counted = counted_hits(seen, self.labels, self.policies.fusion)
        for text, hits in zip(seen.texts, counted, strict=True):
            certain = tuple(hit.model_copy(update={"needs_context": False}) for hit in hits)
            alone = self._of_texts([text.model_copy(update={"hits": certain})])
            yield TextScore(
                text=text.text,
                language=text.language,
                normalised=text.normalised,
                unmasked=text.unmasked,
                terms=tuple(_term(hit, counts=hit in hits) for hit in text.hits),
                policies=self._strongest(alone) if text.error is None else None,
                error=text.error,
            )

    def _strongest(self, seen: Observations) -> Probabilities:
        """Each policy's strongest item; nothing is pooled."""
        evidence = evidence_of(seen, self.labels, self.policies)
        known = {policy: max(item.probability for item in items) for policy, items in evidence.items() if items}
        return {policy: known[policy] for policy in self.policies.policies if policy in known}


def unexamined(coverage: Mapping[str, Coverage]) -> dict[str, str]:
    """Modality -> why it was not wholly looked at, harmless reasons left out."""
    return {
        modality: seen.reason or seen.status
        for modality, seen in coverage.items()
        if seen.status != "examined" and seen.reason not in why.HARMLESS
    }


def _written(text: str) -> TextObservation:
    return TextObservation(
        source="chat", at_s=0.0, text=text, normalised=normalise(text).text, language=language_of(text)
    )


def _together(said: Sequence[TextScore]) -> tuple[MatchedTerm, ...]:
    """The terms of all spans, at their places in the transcript."""
    found: list[MatchedTerm] = []
    at = 0
    for one in said:
        found += (term.model_copy(update={"start": term.start + at, "end": term.end + at}) for term in one.terms)
        at += len(one.text) + 1
    return tuple(found)


def _term(hit: Hit, *, counts: bool) -> MatchedTerm:
    return MatchedTerm(**dict(hit), counts=counts)


def _looked_at(seen: Observations, *modalities: str) -> dict[str, Coverage]:
    return {modality: found for modality, found in seen.coverage.items() if modality in modalities}


def _standing_alone(duration_s: float) -> SegmentManifest:
    """A segment around one item that belongs to no stream."""
    return SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id="score",
        segment_id="item",
        captured_at=datetime.now(UTC),
        duration_s=max(duration_s, 0.001),
    )
