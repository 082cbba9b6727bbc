"""The segment manifest: the small JSON message that stands for one segment of one stream.

Media travel through the store; a manifest only names objects there. Any program may write one, so
everything is checked here, once, before any other code sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, JsonValue, StringConstraints, ValidationError, model_validator

from pipelines.strict import Identifier, Seconds, Strict

MAX_MANIFEST_BYTES = 512 * 1024
"""More text than this is refused before it is parsed; chat that does not fit goes into an object, named by key."""

EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Outside of these a capture time is a mistake, and the ends of the calendar cannot be told in every zone."""

ObjectKey = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=/-]*$", min_length=1, max_length=512)]

Profile = Literal["live", "deep"]


MAX_COUNT = 2**53
"""Beyond it JSON's readers disagree about whole numbers, and no column of a table holds them."""

MAX_LINE_CHARACTERS = 300
"""Of what is said about a mistake: some of it, like an unknown key, is somebody else's text."""


class ManifestError(ValueError):
    """The manifest cannot be used; the message is one line that names the field and quotes no content."""


class FrameRef(Strict):
    """One sampled JPEG or PNG: a whole object, or `length` bytes of it from `offset`."""

    at_s: Seconds = Field(ge=0, description="seconds from the start of the segment")
    key: ObjectKey
    offset: int | None = Field(default=None, ge=0, le=MAX_COUNT)
    length: int | None = Field(default=None, ge=1, le=64 * 1024 * 1024)

    @model_validator(mode="after")
    def _range_is_whole(self) -> Self:
        if (self.offset is None) != (self.length is None):
            raise ValueError("offset and length come together")
        return self


class AudioRef(Strict):
    """The segment's audio, FLAC, WAV or Ogg; decoded to mono 16 kHz."""

    key: ObjectKey


class ChatLine(Strict):
    at_s: Seconds = Field(ge=0, description="seconds from the start of the segment")
    user: str = Field(max_length=256)
    text: str = Field(max_length=4000)


class ChatRef(Strict):
    """Chat kept in an object of JSON Lines, one `ChatLine` each, when it is too long for a message."""

    key: ObjectKey


class Gap(Strict):
    """A stretch of the segment that the sampler never received."""

    from_s: Seconds = Field(ge=0)
    to_s: Seconds = Field(ge=0)
    reason: str = Field(max_length=200)


class Context(Strict):
    """What is known about the stream beside its media."""

    language: str | None = Field(default=None, max_length=16, description="BCP 47, as the platform declares it")
    region: str | None = Field(default=None, max_length=16)
    viewers: int | None = Field(default=None, ge=0, le=MAX_COUNT)


class SamplerSettings(Strict):
    """How the segment was cut; kept so that a later run can tell like from unlike."""

    segment_s: float = Field(gt=0, le=120)
    frame_interval_s: float = Field(gt=0, le=120)
    tier: str = Field(default="default", max_length=64)


class SegmentManifest(Strict):
    """Version 1 of the message that `liverisk.classify` takes.

    `frames` empty, `audio` null and `chat` null each mean "there was none"; coverage then says `no_input`.
    """

    schema_id: Literal["liverisk.segment"] = Field(alias="schema")
    version: Literal[1]
    stream_id: Identifier
    segment_id: Identifier
    captured_at: AwareDatetime = Field(description="wall clock of the segment's first instant", ge=EARLIEST, lt=LATEST)
    duration_s: float = Field(gt=0, le=120)
    frames: tuple[FrameRef, ...] = Field(default=(), max_length=2000)
    audio: AudioRef | None = None
    chat: tuple[ChatLine, ...] | ChatRef | None = None
    gaps: tuple[Gap, ...] = Field(default=(), max_length=1000)
    context: Context = Context()
    sampler: SamplerSettings | None = None
    profile: Profile = "live"
    run: Identifier = "live"

    def as_message(self) -> dict[str, JsonValue]:
        """The JSON object that travels: plain types only, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @property
    def lost_s(self) -> float:
        """Seconds of the segment that lie in a gap, counted once where gaps overlap."""
        lost_s, reached_s = 0.0, 0.0
        for gap in sorted(self.gaps, key=lambda gap: gap.from_s):
            to_s = min(gap.to_s, self.duration_s)
            lost_s += max(0.0, to_s - max(gap.from_s, reached_s))
            reached_s = max(reached_s, to_s)
        return lost_s

    @property
    def date(self) -> str:
        """The UTC day of capture, `YYYY-MM-DD`, as object keys carry it."""
        return self.captured_at.astimezone(UTC).date().isoformat()


def parse_manifest(raw: bytes | str | Mapping[str, object]) -> SegmentManifest:
    """The checked manifest, or `ManifestError` with one line that says which field is wrong."""
    if isinstance(raw, bytes | str) and len(raw) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"manifest is {len(raw)} bytes, more than {MAX_MANIFEST_BYTES}; put chat in an object")
    try:
        if isinstance(raw, bytes | str):
            return SegmentManifest.model_validate_json(raw)
        return SegmentManifest.model_validate(raw)
    except ValidationError as error:
        raise ManifestError(one_line(error)) from None


def one_line(error: ValidationError) -> str:
    """`field: what is wrong` for the first finding, and how many more there are; never the value."""
    findings = error.errors(include_url=False, include_input=False, include_context=False)
    first = findings[0]
    place = ".".join(str(part) for part in first["loc"]) or "manifest"
    more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
    return f"{as_one_line(place, 120)}: {as_one_line(first['msg'])}{more}"


def as_one_line(text: str, most: int = MAX_LINE_CHARACTERS) -> str:
    """The text as it may stand in a message: `most` characters of it, without any that moves or hides others."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def segment_id_at(captured_at: datetime) -> str:
    """The sampler's name for a segment: its UTC start to the millisecond, so that resampling repeats it."""
    moment = captured_at.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z"
