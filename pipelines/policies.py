"""Policies: the kinds of risk, their thresholds and how much each modality weighs. Configuration, not code."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from pipelines.manifest import one_line
from pipelines.record import Modality
from pipelines.strict import Sha256, Strict

POLICY_IDS = (
    "sexual",
    "minor_safety",
    "violence",
    "weapons",
    "drugs",
    "self_harm",
    "hate",
    "harassment",
    "scam",
    "gambling",
    "dangerous_acts",
    "regulated_goods",
)
POLICIES_FILE = Path(__file__).resolve().parent.parent / "configs" / "policies.yaml"


class PolicyError(ValueError):
    """The policies file cannot be used; one line."""


class Thresholds(Strict):
    """Probabilities: watch <= review <= act <= severe. `severe` acts on a single segment, without persistence."""

    watch: float = Field(gt=0, lt=1)
    review: float = Field(gt=0, lt=1)
    act: float = Field(gt=0, lt=1)
    severe: float = Field(gt=0, le=1)

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.watch <= self.review <= self.act <= self.severe:
            raise ValueError("thresholds must rise: watch <= review <= act <= severe")
        return self


class Persistence(Strict):
    """How verdicts carry over time: `hits` of the last `of` segments, half-life of old ones, hysteresis."""

    hits: int = Field(default=2, ge=1, le=60, description="segments at or above `review` that `act` needs")
    of: int = Field(default=6, ge=1, le=60)
    half_life_s: float = Field(default=20, gt=0, description="how fast an earlier segment's log-odds fade")
    hysteresis: float = Field(default=0.1, ge=0, lt=1, description="how far below a threshold a raised verdict stays")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hits > self.of:
            raise ValueError("hits cannot exceed of")
        return self


class Policy(Strict):
    """One kind of risk. `needs` names the modalities whose absence makes a verdict incomplete."""

    title: str
    prior: float = Field(gt=0, lt=0.5, description="probability when nothing speaks for it")
    thresholds: Thresholds
    weights: dict[Modality, float] = Field(description="modality -> weight in log-odds, 0 to 1.5")
    persistence: Persistence = Persistence()


class Fusion(Strict):
    """Settings of fusion that all policies share."""

    corroboration: float = Field(default=0.5, ge=0, le=1, description="how much of a second modality is added, once")
    frame_persistence: float = Field(default=0.4, gt=0, le=1, description="share of frames pooled, highest first")
    user_gain: float = Field(default=0.5, ge=0, description="log-odds per doubling of distinct chat users")
    evidence_kept: int = Field(default=5, ge=1, le=50, description="items shown per verdict")
    unexamined_action: Literal["watch", "review"] = Field(
        default="watch", description="lowest action of a verdict whose modalities could not be examined"
    )


class Policies(Strict):
    """The whole of policies.yaml; `digest` names this version in every record."""

    version: Literal[1]
    fusion: Fusion = Fusion()
    policies: dict[str, Policy]

    @model_validator(mode="after")
    def _all_twelve(self) -> Self:
        unknown, absent = set(self.policies) - set(POLICY_IDS), set(POLICY_IDS) - set(self.policies)
        if unknown or absent:
            raise ValueError(f"policies: unknown {sorted(unknown)}, missing {sorted(absent)}")
        return self

    @property
    def digest(self) -> Sha256:
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()


def read_policies(path: Path = POLICIES_FILE) -> Policies:
    """The checked policies; `PolicyError` names the file and the field."""
    try:
        return Policies.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise PolicyError(f"{path.name}: {one_line(error)}") from None
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"{path}: unreadable ({type(error).__name__})") from None
