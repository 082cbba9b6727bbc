"""The segments that every contender examines: generated from a seed, packed as the sampler packs them.

Three shapes of stream. `busy`: a moving camera, speech with short pauses, chat, captions. `quiet`: a camera that stands
still, silence, a line of chat now and then. `flood`: as busy, with little speech and 300 lines of chat in ten seconds.
Every fourth segment of a busy or flooded stream has an offer in its chat, every eighth one in its caption, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from pipelines.manifest import ChatLine, Context, SamplerSettings, SegmentManifest, parse_manifest, segment_id_at
from workers.bench import chatter, pictures, speech
from workers.sampler.parcel import Origin, Parcel, pack
from workers.sampler.segmenter import Still, Window
from workers.storage import ObjectMissing

Shape = Literal["busy", "quiet", "flood"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

SEGMENT_S = 10.0
FRAME_EVERY_S = 2.0
START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
MANIFESTS = "manifests.jsonl"
OFFER_EVERY, CAPTION_EVERY = 4, 8

PAUSES_S: Mapping[Shape, tuple[float, float] | None] = {"busy": (0.5, 2.0), "quiet": None, "flood": (6.0, 12.0)}
CAPTIONS = ("Welcome to the live show", "Next match in 5 minutes", "Recipe: spinach and eggs")
OFFER = "Add WhatsApp 5550 guaranteed profit"


def generate(shape: Shape, count: int, seed: int) -> Iterator[Parcel]:
    """`count` segments of one stream, in order of time."""
    rng = np.random.default_rng((seed, SHAPES.index(shape)))
    sound = speech.track(rng, count * SEGMENT_S, pauses_s=PAUSES_S[shape])
    origin = Origin(
        stream_id=f"bench-{shape}",
        start=START,
        settings=SamplerSettings(segment_s=SEGMENT_S, frame_interval_s=FRAME_EVERY_S),
        context=Context(),
        media_prefix="media/",
        run="live",
    )
    samples = sound.size // count
    for number in range(count):
        heard = sound[number * samples : (number + 1) * samples]
        window = Window(number * SEGMENT_S, SEGMENT_S, tuple(_stills(shape, number, seed)), heard, ())
        yield pack(window, tuple(_chat(shape, number, rng)), origin)


def planted(number: int, shape: Shape) -> bool:
    """Whether something is offered in this segment that must be flagged."""
    return shape != "quiet" and number % OFFER_EVERY == OFFER_EVERY - 1


def _stills(shape: Shape, number: int, seed: int) -> Iterator[Still]:
    caption = CAPTIONS[number % len(CAPTIONS)] if shape == "busy" and number % 3 else ""
    if planted(number, shape) and number % CAPTION_EVERY == CAPTION_EVERY - 1:
        caption = OFFER
    for at_s in np.arange(0, SEGMENT_S, FRAME_EVERY_S):
        moment = number * SEGMENT_S + float(at_s)
        yield Still(float(at_s), pictures.frame(seed, moment, moves=shape != "quiet", caption=caption))


def _chat(shape: Shape, number: int, rng: np.random.Generator) -> Sequence[ChatLine]:
    match shape:
        case "busy":
            lines = chatter.talk(rng, SEGMENT_S, 12)
        case "quiet":
            lines = chatter.talk(rng, SEGMENT_S, 0.5)
        case "flood":
            lines = chatter.flood(rng, SEGMENT_S, 300)
    if planted(number, shape):
        lines += chatter.offers(rng, SEGMENT_S)
    return sorted(lines, key=lambda line: line.at_s)


@dataclass(frozen=True)
class Corpus:
    """Segments by shape, and their media by key: encoded, as a store would give them."""

    segments: Mapping[Shape, Sequence[SegmentManifest]]
    objects: Mapping[str, bytes]

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        """As `Storage.get`, out of memory."""
        del max_bytes
        if key not in self.objects:
            raise ObjectMissing(key)
        whole = self.objects[key]
        return whole if offset is None or length is None else whole[offset : offset + length]

    def copies(self, shape: Shape, count: int, run: str) -> list[SegmentManifest]:
        """So many segments, each whole turn through the corpus another stream; nobody has seen these streams."""
        own = self.segments[shape]
        return [_copy(own[at % len(own)], f"{shape}-{run}-{at // len(own)}") for at in range(count)]


def _copy(manifest: SegmentManifest, stream_id: str) -> SegmentManifest:
    return manifest.model_copy(update={"stream_id": stream_id})


def moved(manifest: SegmentManifest, ends_at: datetime) -> SegmentManifest:
    """The same media as a segment that ends at that moment."""
    captured_at = ends_at - timedelta(seconds=manifest.duration_s)
    return manifest.model_copy(update={"captured_at": captured_at, "segment_id": segment_id_at(captured_at)})


def write_corpus(folder: Path, count: int, seed: int, shapes: Sequence[Shape] = SHAPES) -> Corpus:
    """Generates `count` segments of each shape, and leaves them in the folder for other processes to read."""
    segments: dict[Shape, list[SegmentManifest]] = {}
    for shape in shapes:
        segments[shape] = []
        for parcel in generate(shape, count, seed):
            segments[shape].append(parcel.manifest)
            for stored in parcel.objects:
                path = folder / stored.key
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(stored.body)
    lines = [manifest.model_dump_json(by_alias=True) for own in segments.values() for manifest in own]
    (folder / MANIFESTS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return read_corpus(folder)


def read_corpus(folder: Path) -> Corpus:
    """What `write_corpus` left."""
    segments: dict[Shape, list[SegmentManifest]] = {}
    for line in (folder / MANIFESTS).read_text(encoding="utf-8").splitlines():
        manifest = parse_manifest(line)
        shape = next(shape for shape in SHAPES if manifest.stream_id == f"bench-{shape}")
        segments.setdefault(shape, []).append(manifest)
    media = (path for path in (folder / "media").rglob("*") if path.is_file())
    return Corpus(segments, {str(path.relative_to(folder)): path.read_bytes() for path in media})
