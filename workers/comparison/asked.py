"""What two checkpoints are asked about: lines of a file, images of a folder, texts and frames of stored segments."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.manifest import FrameRef, as_one_line, one_line
from pipelines.policies import POLICY_IDS
from pipelines.record import Modality, Record, TextObservation
from pipelines.text.language import language_of
from pipelines.text.normalise import normalise
from pipelines.text_scores import read_texts
from workers.comparison.running import Question
from workers.records import RecordError, read_records, record_keys
from workers.storage import ObjectMissing, ObjectTooLarge, OutOfRange, Storage

IMAGES = (".jpg", ".jpeg", ".png", ".webp")
MAX_FRAME_BYTES = 64 * 1024 * 1024


class WrongInput(ValueError):
    """What was given cannot be asked about; one line that names the file and the line."""


class NothingThere(LookupError):
    """There is nothing to ask about; one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One item: where it is found again, what the models get, and what somebody judged of it."""

    id: str
    where: str
    modality: Modality
    language: str | None
    question: Question
    truth: Mapping[str, bool] = field(default_factory=dict)

    @property
    def text(self) -> str | None:
        return self.question.text if isinstance(self.question, TextObservation) else None


@dataclass(frozen=True, slots=True)
class Asking:
    """The items, a line on where they come from, and what is not among them, by reason."""

    items: Sequence[Asked]
    source: str
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Which recorded segments; None narrows nothing."""

    stream_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Row(BaseModel):
    """A line of the file. `judged`: the policies that somebody looked for, all unless said; `policies`: those found.

    Without `policies` nobody judged it. An `image` lies beside the file. Other keys may stand there for their authors.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str | None = None
    image: str | None = None
    modality: Modality | None = None
    policies: tuple[str, ...] | None = None
    judged: tuple[str, ...] = POLICY_IDS

    @property
    def truth(self) -> dict[str, bool]:
        found = self.policies
        return {} if found is None else {policy: policy in found for policy in (*self.judged, *found)}


def takes_text(slot: str) -> bool:
    """Whether the slot is asked about texts rather than images."""
    return slot.startswith("text.")


def modality_of(slot: str) -> Modality:
    """What an item of the slot is taken for where nobody says."""
    match slot.partition(".")[0]:
        case "text":
            return "chat"
        case "speech":
            return "speech"
        case "ocr":
            return "screen"
    return "frames"


def of_lines(path: Path, slot: str) -> Asking:
    """JSON Lines, each a text or an image of the slot's kind. Raises `WrongInput`, `NothingThere`."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"{path}: unreadable ({type(error).__name__})") from None
    items = tuple(_row(path, number, line, slot) for number, line in enumerate(lines, start=1) if line.strip())
    if not items:
        raise NothingThere(f"{path}: no line in it")
    judged = sum(bool(item.truth) for item in items)
    return Asking(items, f"{len(items):,} lines of {path.name}" + (f", {judged:,} of them judged" if judged else ""))


def of_images(folder: Path) -> Asking:
    """Every image below the folder. Raises `NothingThere`."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGES and path.is_file())
    if not found:
        raise NothingThere(f"{folder}: no JPEG, PNG or WebP in it")
    items = tuple(Asked(path.relative_to(folder).as_posix(), "image", "frames", None, path) for path in found)
    return Asking(items, f"{len(items):,} images of {folder.name}")


def of_segments(storage: Storage, slot: str, stretch: Stretch, most: int) -> Asking:
    """Texts or frames of live records, taken from segments all over the stretch. Raises `NothingThere`, `StorageError`.

    Texts are asked as they were stored, both views of them; a frame that repeats another is not asked again.
    """
    left_out: Counter[str] = Counter()
    segments: set[str] = set()
    items: list[Asked] = []
    for record in sampled_records(storage, stretch, left_out):
        segments.add(f"{record.stream_id}/{record.segment_id}")
        own = _texts(record) if takes_text(slot) else _frames(record, storage, left_out)
        items += islice(own, most - len(items))
        if len(items) >= most:
            break
    if not items:
        raise NothingThere(f"no recorded {'text' if takes_text(slot) else 'frame'} there")
    what = "texts" if takes_text(slot) else "frames"
    return Asking(items, f"{len(items):,} {what} of {len(segments):,} recorded segments", left_out)


def thinned(asking: Asking, most: int | None) -> Asking:
    """At most so many of the items, taken at even distances."""
    count = len(asking.items)
    if most is None or count <= most:
        return asking
    items = tuple(asking.items[at * count // most] for at in range(most))
    return replace(asking, items=items, source=f"{most:,} of {asking.source}")


def sampled_records(storage: Storage, stretch: Stretch, left_out: Counter[str]) -> Iterator[Record]:
    """Live records of the stretch in an order that has nothing to do with stream or time, and is always the same."""
    keys = record_keys(storage, stream_id=stretch.stream_id, since=stretch.since, until=stretch.until, run="live")
    for found in read_records(storage, sorted(keys, key=lambda key: hashlib.sha256(key.encode()).digest())):
        if isinstance(found, RecordError):
            left_out["records that cannot be read"] += 1
        elif (stretch.since is None or found.captured_at >= stretch.since) and (
            stretch.until is None or found.captured_at < stretch.until
        ):
            yield found


def place_of_text(text: TextObservation) -> str:
    """`chat at 12.5 s`, on the segment's clock."""
    return f"{text.source} at {text.at_s:.1f} s"


def _row(path: Path, number: int, line: str, slot: str) -> Asked:
    where = f"line {number}"
    try:
        row = Row.model_validate_json(line)
    except ValidationError as error:
        raise WrongInput(f"{path}, {where}: {one_line(error)}") from None
    unknown = sorted(set(row.truth) - set(POLICY_IDS))
    if unknown:
        raise WrongInput(f"{path}, {where}: no policy named {as_one_line(unknown[0])}")
    name = f"{path.name}:{number}"
    if takes_text(slot):
        if row.text is None:
            raise WrongInput(f"{path}, {where}: no text, and {slot} reads texts")
        return Asked(
            name, where, row.modality or modality_of(slot), language_of(row.text), _written(row.text), row.truth
        )
    if row.image is None:
        raise WrongInput(f"{path}, {where}: no image, and {slot} looks at images")
    return Asked(name, where, row.modality or modality_of(slot), None, path.parent / row.image, row.truth)


def _written(text: str) -> TextObservation:
    """With its second view, as chat would have it."""
    plain = TextObservation(
        source="chat", at_s=0.0, text=text, normalised=normalise(text).text, language=language_of(text)
    )
    return read_texts([plain], None)[0]


def _texts(record: Record) -> Iterator[Asked]:
    name = f"{record.stream_id}/{record.segment_id}"
    for text in record.observations.texts:
        bare = text.model_copy(update={"scores": {}, "error": None})
        yield Asked(name, place_of_text(text), text.source, text.language, bare)


def _frames(record: Record, storage: Storage, left_out: Counter[str]) -> Iterator[Asked]:
    """Frames by their time: a record names its media beside what was seen in them."""
    repeats = {frame.at_s for frame in record.observations.frames if frame.reused_from_s is not None}
    for media in record.media:
        if media.at_s in repeats:
            continue
        content = _content(media, storage)
        if content is None:
            left_out["frames no longer in the store"] += 1
        else:
            name = f"{record.stream_id}/{record.segment_id}"
            yield Asked(name, f"frame at {media.at_s:.1f} s", "frames", None, content)


def _content(media: FrameRef, storage: Storage) -> bytes | None:
    try:
        return storage.get(media.key, offset=media.offset, length=media.length, max_bytes=MAX_FRAME_BYTES)
    except (ObjectMissing, OutOfRange, ObjectTooLarge):
        return None
