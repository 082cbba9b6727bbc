"""What the bundled livestream contains and what must be found in it, read from the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, model_validator

from pipelines.policies import POLICY_IDS
from pipelines.record import Modality
from pipelines.strict import Strict

MEDIA_DIRECTORY = Path(__file__).resolve().parent / "media"
STREAM_FILE = MEDIA_DIRECTORY / "stream.mp4"
CHAT_FILE = MEDIA_DIRECTORY / "chat.jsonl"
PROGRAMME_FILE = MEDIA_DIRECTORY / "programme.yaml"
PLANTED_FILE = MEDIA_DIRECTORY / "planted.yaml"

SceneName = Literal["opening", "kitchen", "recipe", "offer", "game", "pause", "sofa"]


class Stretch(Strict):
    """Seconds from the start of the stream."""

    from_s: float = Field(ge=0)
    to_s: float = Field(gt=0)

    @model_validator(mode="after")
    def _runs_forward(self) -> Self:
        if self.to_s <= self.from_s:
            raise ValueError("to_s must come after from_s")
        return self


class Note(Stretch):
    """Faint small text at the top of a scene: to be read by who looks for it."""

    text: str


class Scene(Stretch):
    scene: SceneName
    banner: str
    note: Note | None = None


class Utterance(Strict):
    at_s: float = Field(ge=0)
    text: str


class Programme(Strict):
    """Scenes follow one another without holes from 0 to `duration_s`."""

    duration_s: float = Field(gt=0)
    scenes: tuple[Scene, ...] = Field(min_length=1)
    speech: tuple[Utterance, ...]

    @model_validator(mode="after")
    def _scenes_join(self) -> Self:
        starts = [scene.from_s for scene in self.scenes]
        ends = [scene.to_s for scene in self.scenes]
        if starts != [0, *ends[:-1]] or ends[-1] != self.duration_s:
            raise ValueError("scenes must follow one another from 0 to duration_s")
        return self


class PlantedRisk(Stretch):
    """A stretch that must be flagged under `policy`, and where a viewer can see why.

    `near` policies may be raised beside it without being false alarms: the same words speak to them. Verdicts
    carry over time by design, so they may outlive the stretch by `settles_s`. What is `deep` is for a deep review
    to find: a live look may miss it.
    """

    policy: str
    settles_s: float = Field(ge=0)
    modalities: tuple[Modality, ...] = Field(min_length=1)
    near: tuple[str, ...] = ()
    deep: bool = False

    @model_validator(mode="after")
    def _policies_are_known(self) -> Self:
        if unknown := {self.policy, *self.near} - set(POLICY_IDS):
            raise ValueError(f"no policy {sorted(unknown)[0]}")
        return self


class Planted(Strict):
    """Everything else is benign."""

    duration_s: float = Field(gt=0)
    risks: tuple[PlantedRisk, ...]


def read_programme(path: Path = PROGRAMME_FILE) -> Programme:
    return Programme.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def read_planted(path: Path = PLANTED_FILE) -> Planted:
    return Planted.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
