"""Embeddings of frames that a record keeps: other phrases over the same encoder score them without the pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipelines.cards import Card
from pipelines.checkpoints.folder import digest_of
from pipelines.frames import examine_frames, without_near_duplicates
from pipelines.items import CheckpointRef, Failure, Item, Picture, Result, Scores, Seen
from pipelines.kept_frames import rescored_frames
from pipelines.models import Model, OverEncoder
from pipelines.record import FrameObservation, Record
from pipelines.segment import ExaminationSettings, Frame
from pipelines.vision.zero_shot import load_zero_shot_classifier
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards
from tests.records import record

SLOT = "vision.scenes"
SETTINGS = ExaminationSettings(keep_embeddings=True)


@dataclass
class Asked:
    """The `Models` of a segment with one vision slot; counts the pictures that it looks at."""

    model: Model
    digest: str
    pictures: int = 0
    checkpoints: Mapping[str, CheckpointRef] = field(init=False)

    def __post_init__(self) -> None:
        encoder = self.model.encoder if isinstance(self.model, OverEncoder) else None
        self.checkpoints = {SLOT: CheckpointRef(id="tiny", digest=self.digest * 64, session="torch", encoder=encoder)}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        self.pictures += sum(isinstance(item, Picture) for item in items)
        return self.model.predict(items)


class Phrases:
    """Checkpoints over one tiny CLIP that differ in their phrases alone; `other` has weights of its own."""

    def __init__(self, directory: Path) -> None:
        self._cards = Cards(directory)
        self._folder = directory / "finished"
        tiny.clip(self._folder)
        self._other = directory / "other"
        tiny.clip(self._other)
        (self._other / "note.txt").write_text("another")

    def card(self, phrase: str) -> Card:
        labels = {"dice": {"policies": ["gambling"], "prompts": [phrase]}, "nothing": {"prompts": ["nothing"]}}
        return self._cards.card(phrase, slots=[SLOT], kind="zero-shot-image-classification", labels=labels)

    def asked(self, phrase: str, digest: str, *, other: bool = False) -> Asked:
        folder = self._other if other else self._folder
        model = load_zero_shot_classifier(self.card(phrase), folder, session="torch", device="cpu", threads=1)
        return Asked(model, digest)


@pytest.fixture(scope="module")
def phrases(tmp_path_factory: pytest.TempPathFactory) -> Phrases:
    return Phrases(tmp_path_factory.mktemp("phrases"))


def frames() -> list[Frame]:
    """Three, of which the last repeats the second."""
    random = np.random.default_rng(3)
    first, second = (Picture(random.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in range(2))
    return [Frame(0.0, first), Frame(1.0, second), Frame(2.0, second)]


def seen(models: Asked, *, keep: bool = True) -> tuple[FrameObservation, ...]:
    shown = frames()
    found, _ = examine_frames(shown, without_near_duplicates(shown, SETTINGS), [SLOT], models, keep=keep)
    return tuple(found)


def stored(models: Asked, found: Sequence[FrameObservation], settings: ExaminationSettings = SETTINGS) -> Record:
    source = record(0)
    observations = source.observations.model_copy(
        update={"frames": tuple(found), "checkpoints": dict(models.checkpoints)}
    )
    told = settings.model_dump(exclude_none=True)
    return source.model_copy(update={"observations": observations, "settings": told})


def test_other_phrases_score_what_was_kept_as_they_score_the_pixels(phrases: Phrases) -> None:
    first, second = phrases.asked("dice", "a"), phrases.asked("money", "b")
    source, wanted = stored(first, seen(first)), seen(second)
    looked_at = second.pictures
    found = rescored_frames(source, second, SETTINGS)
    assert found is not None
    assert second.pictures == looked_at
    assert [frame.scores for frame in found] == [frame.scores for frame in wanted]
    assert [frame.scores for frame in found] != [frame.scores for frame in source.observations.frames]
    assert found[2].scores == found[1].scores


def test_frames_of_another_encoder_or_without_an_embedding_are_looked_at_again(phrases: Phrases) -> None:
    first, other = phrases.asked("dice", "a"), phrases.asked("dice", "b", other=True)
    assert rescored_frames(stored(first, seen(first)), other, SETTINGS) is None
    bare = seen(first, keep=False)
    assert all("embeddings" not in frame.model_dump_json() for frame in bare)
    assert rescored_frames(stored(first, bare), phrases.asked("money", "b"), SETTINGS) is None


def test_frames_that_would_be_seen_otherwise_by_now_are_looked_at_again(phrases: Phrases) -> None:
    first, second = phrases.asked("dice", "a"), phrases.asked("money", "b")
    smaller = SETTINGS.model_copy(update={"frame_side_px": 320})
    assert rescored_frames(stored(first, seen(first), smaller), second, SETTINGS) is None


def test_an_embedding_of_another_encoder_gets_no_score(phrases: Phrases) -> None:
    first, other = phrases.asked("dice", "a"), phrases.asked("dice", "b", other=True)
    (result,) = first.ask(SLOT, [Picture(np.zeros((8, 8, 3), np.uint8), keep=True)])
    assert isinstance(result, Scores)
    assert result.embedding is not None
    assert other.ask(SLOT, [Seen(result.embedding)]) == [Failure(error="OtherEncoder")]


def test_phrases_are_part_of_the_digest(phrases: Phrases) -> None:
    assert digest_of(phrases.card("dice"), {}) != digest_of(phrases.card("money"), {})
