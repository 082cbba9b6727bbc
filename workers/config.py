"""Settings of a deployment: shipped file < embedded stack < chosen file < environment.

Loaded once by whoever starts a process and passed on; there is no module-level settings object. Secrets
are `SecretStr` and come from the environment, or from files (`workers/layers.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, IPvAnyNetwork, SecretStr, ValidationError, field_validator, model_validator

from pipelines.cards import CARDS_DIRECTORY, Session
from pipelines.manifest import one_line
from pipelines.media import DecodeLimits
from pipelines.policies import POLICIES_FILE
from pipelines.segment import ExaminationSettings
from pipelines.strict import YEAR_S, Identifier, Seconds, Strict
from pipelines.text.lexicon_file import LEXICONS_DIRECTORY
from workers.broker.settings import Broker as Broker
from workers.broker.settings import State as State
from workers.broker.settings import Tls, check_together
from workers.engine.settings import Engine as Engine
from workers.lanes import LANES, Lane
from workers.layers import ENVIRONMENT_PREFIX as ENVIRONMENT_PREFIX
from workers.layers import ConfigError as ConfigError
from workers.layers import from_environment, from_yaml, merge, with_secrets
from workers.privacy.settings import Privacy, Retention
from workers.reach import MediaPrefix

SHIPPED_FILE = Path(__file__).resolve().parent.parent / "configs" / "liverisk.yaml"
CONNECTION_FILE = "connection.yaml"
"""Written by the embedded stack into the state directory while it runs: where it listens, with which passwords."""


class Store(Strict):
    endpoint_url: str | None = Field(default=None, description="null: the provider's own endpoint")
    bucket: str = Field(default="liverisk", min_length=3)
    region: str = "us-east-1"
    access_key: SecretStr | None = Field(default=None, description="null: what boto3 finds, and renews, by itself")
    access_key_file: Path | None = None
    secret_key: SecretStr | None = None
    secret_key_file: Path | None = None
    session_token: SecretStr | None = Field(default=None, description="of credentials that expire")
    session_token_file: Path | None = Field(default=None, description="this and its like: read again when refused")
    media_prefix: MediaPrefix = Field(default="media/", description="manifests may name only objects below it")

    @field_validator("endpoint_url")
    @classmethod
    def _holds_no_secret(cls, url: str | None) -> str | None:
        """An address is shown wherever it helps."""
        if url is not None and "@" in url:
            raise ValueError("keys do not belong into the address; set store.access_key and store.secret_key")
        return url


class Filling(Strict):
    """A checkpoint and what runs it."""

    checkpoint: Identifier
    session: Session | Literal["auto"] = "auto"
    threads: int = Field(default=0, ge=0, le=4096, description="CPU threads of this model; 0: half the cores")
    max_batch: int = Field(default=8, ge=1, le=1024)


class Slot(Filling):
    """Which checkpoint fills a place, and what runs it."""

    deep: Filling | None = Field(default=None, description="what deep reviews ask instead; null: the same")

    @property
    def checkpoints(self) -> Mapping[str, str]:
        """Checkpoint by its key below the slot: `checkpoint` and, where there is one, `deep.checkpoint`."""
        heavier = {"deep.checkpoint": self.deep.checkpoint} if self.deep else {}
        return {"checkpoint": self.checkpoint} | heavier


class Worker(Strict):
    concurrency: int = Field(default=2, ge=1, le=512)
    prefetch: int = Field(default=1, ge=1, description="messages that a child holds; only 1 keeps the lanes' order")
    lanes: tuple[Lane, ...] = LANES
    deadline_s: Seconds = Field(default=30, gt=0, description="a segment then keeps what it has; the rest: `deadline`")
    soft_time_limit_s: int = Field(default=45, ge=1, le=YEAR_S)
    time_limit_s: int = Field(default=55, ge=2, le=YEAR_S)
    max_attempts: int = Field(default=4, ge=1, description="starts without an outcome before it counts as crashing")
    memory_limit_mb: int | None = Field(default=1024, ge=128, description="a child that took more is replaced")
    stuck_s: Seconds = Field(default=120, ge=1, description="a worker whose main loop stood still for so long ends")

    @model_validator(mode="after")
    def _limits_rise(self) -> Self:
        if not self.deadline_s < self.soft_time_limit_s < self.time_limit_s:
            raise ValueError("deadline_s < soft_time_limit_s < time_limit_s must hold")
        return self

    @field_validator("prefetch")
    @classmethod
    def _nothing_waits_in_a_worker(cls, prefetch: int) -> int:
        if prefetch != 1:
            raise ValueError("must be 1: what waits in a worker waits behind bulk; raise worker.concurrency instead")
        return prefetch


class Tier(Strict):
    segment_s: float = Field(default=10, gt=0, le=120)
    frame_interval_s: float = Field(default=2, gt=0, le=120)


class Sampler(Strict):
    tiers: dict[str, Tier] = {"default": Tier()}
    jpeg_quality: int = Field(default=85, ge=1, le=100)
    max_frame_side_px: int = Field(default=1280, ge=64, le=8192)
    reconnect_s: Seconds = Field(default=60, ge=0, description="how long a dropped live source is tried again")
    allow_networks: tuple[IPvAnyNetwork, ...] = Field(default=(), description="not public, and sources may be there")


class Overload(Strict):
    """What becomes of live segments that waited too long in their lane."""

    thin_after_s: Seconds = Field(default=30, gt=0, description="examined with few frames and without speech")
    shed_after_s: Seconds = Field(default=300, gt=0, description="not examined, and recorded so")
    thin_frames: int = Field(default=2, ge=1, le=64, description="frames of a thinned segment, at most")

    @model_validator(mode="after")
    def _thins_before_it_sheds(self) -> Self:
        if not self.thin_after_s < self.shed_after_s:
            raise ValueError("thin_after_s < shed_after_s must hold")
        return self


class Review(Strict):
    """Deep reviews that a verdict starts by itself, and the stretch of the stream around it that they cover."""

    auto: bool = Field(default=True, description="review or act as action of a live verdict starts one")
    cool_down_s: Seconds = Field(default=600, ge=0, description="between two of one stream")
    before_s: Seconds = Field(default=60, ge=0)
    after_s: Seconds = Field(default=60, ge=0)


class Runs(Strict):
    """How the segments of reviews and rescans are fed to their lanes."""

    window: int = Field(default=16, ge=1, le=4096, description="messages of one run in the lane at a time, at most")
    start_feeder: Literal["worker", "external"] = Field(default="worker", description="who starts it")
    stuck_s: Seconds = Field(default=1800, ge=1, description="a feeder that is at one run for longer hangs, and ends")


class Log(Strict):
    """Of workers, engines, feeders and samplers."""

    format: Literal["text", "json"] = Field(default="text", description="json: one object a line")


class Registry(Strict):
    """How engines follow the registry of checkpoints, and what shadows may cost a segment."""

    poll_s: Seconds = Field(default=3, gt=0, description="engines look at the registry so often; moves also tell them")
    shadow_wait_s: Seconds = Field(default=0.5, ge=0, description="a finished segment waits so long for its shadows")


class Config(Strict):
    """The merged configuration of one deployment."""

    broker: Broker = Broker()
    store: Store = Store()
    slots: dict[str, Slot] = {}
    engine: Engine = Engine()
    worker: Worker = Worker()
    sampler: Sampler = Sampler()
    examination: ExaminationSettings = ExaminationSettings()
    decode: DecodeLimits = DecodeLimits()
    state: State = State()
    overload: Overload = Overload()
    review: Review = Review()
    runs: Runs = Runs()
    registry: Registry = Registry()
    log: Log = Log()
    privacy: Privacy = Privacy()
    retention: Retention = Retention()
    state_directory: Path = Path(".liverisk")
    models_directory: Path | None = Field(default=None, description="finished checkpoints; null: the user's cache")
    cards_directory: Path = CARDS_DIRECTORY
    policies_file: Path = POLICIES_FILE
    lexicons_directory: Path = Field(default=LEXICONS_DIRECTORY, description="looked at again every two seconds")

    @model_validator(mode="after")
    def _promises_hold(self) -> Self:
        least = max(2 * self.worker.deadline_s, self.worker.time_limit_s + 1)
        if self.broker.visibility_timeout_s < least:
            raise ValueError(
                "a running segment would be delivered twice: set broker.visibility_timeout_s to twice "
                f"worker.deadline_s and beyond worker.time_limit_s, {math.ceil(least)} or more"
            )
        check_together(self.broker, self.state, self.worker.max_attempts)
        return self

    @property
    def state_url(self) -> SecretStr | None:
        """Where the pool keeps what it knows besides queues; None when there is no such place."""
        return self.state.url or (None if self.broker.is_rabbit else self.broker.url)

    @property
    def state_tls(self) -> Tls:
        return self.state.tls if self.state.url is not None else self.broker.tls

    @property
    def decode_limits(self) -> DecodeLimits:
        """Hostile media may take half of a segment's deadline at most; the models need the rest."""
        within = min(self.decode.segment_s, self.worker.deadline_s / 2)
        return self.decode.model_copy(update={"segment_s": within})

    @property
    def bulk_deadline_s(self) -> float:
        """A segment of a review or rescan may wait long for live ones: as long as its message stays hidden."""
        return 0.75 * self.broker.visibility_timeout_s

    @property
    def bulk_soft_time_limit_s(self) -> int:
        return int(0.85 * self.broker.visibility_timeout_s)

    @property
    def bulk_time_limit_s(self) -> int:
        return int(0.92 * self.broker.visibility_timeout_s)

    @property
    def models(self) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        return self.models_directory or cache / "liverisk" / "models"


def load_config(chosen: Path | None = None, environment: Mapping[str, str] = os.environ) -> Config:
    """The merged, checked configuration; `ConfigError` names what is wrong and where."""
    chosen = chosen or (Path(environment["LIVERISK_CONFIG"]) if "LIVERISK_CONFIG" in environment else None)
    overrides = from_environment(environment)
    layers = [from_yaml(SHIPPED_FILE)]
    if chosen:
        layers.append(from_yaml(chosen))
    merged: dict[str, Any] = {}
    for layer in (*layers, overrides):
        merged = merge(merged, layer)
    settings = _checked(merged)
    connection = settings.state_directory / CONNECTION_FILE
    if not _there(connection):
        return settings
    return _checked(merge(merge(merge(layers[0], from_yaml(connection)), layers[1] if chosen else {}), overrides))


def _checked(merged: Mapping[str, Any]) -> Config:
    try:
        return Config.model_validate(with_secrets(merged))
    except ValidationError as error:
        raise ConfigError(f"configuration: {one_line(error)}") from None


def _there(connection: Path) -> bool:
    try:
        return connection.exists()
    except OSError as error:
        raise ConfigError(f"state_directory: {connection.parent} cannot be used ({type(error).__name__})") from None
