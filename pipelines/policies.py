"""Policies: the kinds of risk, their thresholds and how much each modality weighs. Configuration, not code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pipelines.manifest import Profile, one_line
from pipelines.record import MODALITIES, Modality
from pipelines.strict import Seconds, Sha256, Strict
from pipelines.yaml_text import YamlError, parse_yaml

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


Weight = Annotated[float, Field(ge=0, le=1.5)]
"""Factor on a modality's log-odds above the prior: 1 takes its probability as it is, 0 does without it."""


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
    half_life_s: Seconds = Field(default=20, gt=0, description="how fast an earlier segment's log-odds fade")
    hysteresis: float = Field(default=0.1, ge=0, lt=1, description="how far below a threshold a raised verdict stays")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.hits > self.of:
            raise ValueError("hits cannot exceed of")
        return self


class Policy(Strict):
    """One kind of risk. A modality that it weighs above 0 and that was not examined makes its verdict incomplete."""

    title: str
    prior: float = Field(ge=0.0001, lt=0.5, description="probability when nothing speaks for it")
    thresholds: Thresholds
    weights: dict[Modality, Weight] = Field(description="all four modalities; 0: this policy does without it")
    persistence: Persistence = Persistence()

    @field_validator("weights")
    @classmethod
    def _all_modalities(cls, weights: dict[Modality, float]) -> dict[Modality, float]:
        absent = [modality for modality in MODALITIES if modality not in weights]
        if absent:
            raise ValueError(f"missing {', '.join(absent)}; 0 does without a modality")
        if not any(weights.values()):
            raise ValueError("at least one modality must weigh more than 0")
        return weights

    @model_validator(mode="after")
    def _calms_down(self) -> Self:
        if self.thresholds.watch - self.persistence.hysteresis <= self.prior:
            raise ValueError("watch - hysteresis must stay above prior, or a raised verdict never comes down")
        return self

    def weight(self, source: str, default: float) -> float:
        """The weight of any source of evidence; `default` for one that is not a modality."""
        return next((weight for modality, weight in self.weights.items() if modality == source), default)


class Fusion(Strict):
    """Settings of fusion that all policies share."""

    corroboration: float = Field(default=0.5, ge=0, le=1, description="how much of a second modality is added, once")
    frame_persistence: float = Field(default=0.4, gt=0, le=1, description="share of frames pooled, highest first")
    sure_confidence: float = Field(
        default=0.6, gt=0, le=1, description="what was heard or read so surely counts whole, below in proportion"
    )
    user_gain: float = Field(default=0.5, ge=0, description="log-odds per doubling of distinct chat users")
    user_cap: int = Field(default=16, ge=1, description="more distinct users than this add nothing")
    default_weight: float = Field(default=1.0, ge=0, le=1.5, description="weight of a source that is not a modality")
    hit_context: float = Field(
        default=0.15, gt=0, lt=1, description="a lexicon's hit that needs context counts where a model says so much"
    )
    hit_corroboration: float = Field(
        default=0.3, ge=0, le=1, description="where models and a term agree about a text, how much the weaker adds"
    )
    hit_neighbours_s: Seconds = Field(
        default=30, ge=0, description="or where another term of its policy stands within so many seconds"
    )
    window_s: Seconds = Field(default=300, gt=0, description="how far back in the stream a verdict looks")
    deep_window_s: Seconds = Field(default=900, gt=0, description="the same for the profile `deep`")
    evidence_kept: int = Field(default=5, ge=1, le=50, description="items shown per verdict")
    unexamined_action: Literal["watch", "review"] = Field(
        default="watch", description="lowest action of a verdict whose modalities could not be examined"
    )

    @model_validator(mode="after")
    def _deep_looks_further(self) -> Self:
        if self.deep_window_s < self.window_s:
            raise ValueError("deep_window_s must be window_s or more")
        return self

    def lookback_s(self, profile: Profile) -> float:
        """How far back in the stream a verdict of this profile looks."""
        return self.deep_window_s if profile == "deep" else self.window_s


class Policies(Strict):
    """The whole of policies.yaml; `digest` names this version in every record."""

    version: Literal[1]
    fusion: Fusion = Fusion()
    policies: dict[str, Policy]

    @field_validator("policies")
    @classmethod
    def _all_twelve(cls, policies: dict[str, Policy]) -> dict[str, Policy]:
        unknown, absent = set(policies) - set(POLICY_IDS), set(POLICY_IDS) - set(policies)
        findings = [f"unknown {', '.join(sorted(unknown))}"] if unknown else []
        findings += [f"missing {', '.join(sorted(absent))}"] if absent else []
        if findings:
            raise ValueError("; ".join(findings))
        return policies

    @property
    def digest(self) -> Sha256:
        """Over what the settings say, defaults included; the order of the file does not matter."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()


def read_policies(path: Path = POLICIES_FILE) -> Policies:
    """The checked policies; `PolicyError` names the file and the field."""
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: unreadable ({type(error).__name__})") from None
    except YamlError as error:
        raise PolicyError(f"{path}: unreadable ({error})") from None
    if not isinstance(content, dict):
        raise PolicyError(f"{path}: must be a mapping with version and policies")
    try:
        return Policies.model_validate(content)
    except ValidationError as error:
        raise PolicyError(f"{path}: {one_line(error)}") from None
