"""Golden examples: a few inputs beside a card and what its checkpoint must say of them.

They lie in `golden.jsonl`, one object a line; media are files beside the card:

    {"text": "send money first", "scores": {"scam": 0.91}, "tolerance": 0.02}
    {"image": "dice.png", "scores": {"gambling": 0.8}, "tolerance": 0.1}
    {"audio": "greeting.wav", "heard": ["hello"]}

`scores` are native, by native label. A checkpoint that has lost its meaning on the way (a converted graph, a head for
another encoder, labels in another order) loads, warms up and gives numbers; here it is found out. What differs is told
by line and label, never with the text itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, ValidationError, model_validator

from pipelines.cards import Card, CardError
from pipelines.items import Clip, Failure, Item, Line, Result, Scores, ScreenText, Transcript
from pipelines.manifest import one_line
from pipelines.models import Model
from pipelines.strict import Strict
from pipelines.text.normalise import normalise

GOLDEN_FILE = "golden.jsonl"
MAX_SIDE_PX = 640
"""As frames come to a model."""
MAX_AUDIO_S = 60.0


class Golden(Strict):
    """One input, and native scores it must get within `tolerance`, or words that must be heard or read in it."""

    text: str | None = None
    image: str | None = None
    audio: str | None = None
    scores: dict[str, float] = {}
    heard: tuple[str, ...] = ()
    tolerance: float = Field(default=0.02, gt=0)

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if sum(one is not None for one in (self.text, self.image, self.audio)) != 1:
            raise ValueError("one of text, image and audio is needed")
        if not self.scores and not self.heard:
            raise ValueError("scores or heard is needed")
        return self

    def item(self, folder: Path) -> Item:
        """What the model is asked; media come from `folder`. `OSError` or `DecodeError` when they cannot be had."""
        from pipelines.decode import decode_audio, decode_image

        if self.text is not None:
            return Line(self.text)
        if self.image is not None:
            return decode_image((folder / self.image).read_bytes(), max_side_px=MAX_SIDE_PX)
        return Clip(decode_audio((folder / str(self.audio)).read_bytes(), max_s=MAX_AUDIO_S))


def read_golden(path: Path) -> tuple[Golden, ...]:
    """The examples of a file; none where there is no file. `CardError` in one line that names file and line."""
    if not path.is_file():
        return ()
    examples = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            examples.append(Golden.model_validate_json(line))
        except ValidationError as error:
            raise CardError(f"{path.parent.name}: {path.name}:{number}: {one_line(error)}") from None
    return tuple(examples)


def golden_findings(card: Card, model: Model, path: Path | None = None) -> tuple[str, ...]:
    """What the model says otherwise than the examples beside its card, a line each; empty when it passes.

    `path`: another file of examples, whose media lie beside it.
    """
    path = path or card.folder / GOLDEN_FILE
    found: list[str] = []
    for number, example in enumerate(read_golden(path), start=1):
        try:
            (result,) = model.predict([example.item(path.parent)])
            problems = list(_differences(example, result))
        except Exception as error:  # noqa: BLE001  # whatever it is, this checkpoint does not do what its card says
            problems = [f"cannot be asked ({type(error).__name__})"]
        found += [f"{path.name}:{number}: {problem}" for problem in problems]
    return tuple(found)


def _differences(example: Golden, result: Result) -> Iterator[str]:
    if isinstance(result, Failure):
        yield f"could not be scored ({result.error})"
        return
    got = result.labels if isinstance(result, Scores) else {}
    for label, wanted in example.scores.items():
        if label not in got:
            yield f"no score for {label}"
        elif not abs(got[label] - wanted) <= example.tolerance:
            yield f"{label} is {got[label]:.4f}, expected {wanted:.4f} within {example.tolerance:g}"
    words = normalise(_words(result)).text
    lost = sum(normalise(phrase).text not in words for phrase in example.heard)
    if lost:
        yield f"{lost} of {len(example.heard)} phrases are not in what was heard or read"


def _words(result: Result) -> str:
    match result:
        case Transcript():
            return " ".join(span.text for span in result.spans)
        case ScreenText():
            return " ".join(line.text for line in result.lines)
        case _:
            return ""
