"""How a host's engine is reached, and when it counts as hanging or as too large."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from pipelines.strict import Seconds, Strict


class Engine(Strict):
    start: Literal["worker", "external"] = Field(default="worker", description="who starts it")
    address: str | None = Field(default=None, description="socket path or host:port; null: in the state directory")
    key: SecretStr | None = Field(default=None, description="shared by workers and an engine at host:port")
    key_file: Path | None = None
    device: str = Field(default="auto", description="auto, cpu or cuda:N")
    linger_s: Seconds = Field(default=15, gt=0, description="ends this long after its last worker died")
    start_timeout_s: Seconds = Field(default=600, gt=0, description="the first start builds or fetches checkpoints")
    stuck_s: Seconds = Field(default=120, gt=0, description="a batch that runs longer hangs: the engine is replaced")
    memory_limit_mb: int | None = Field(
        default=None,
        ge=1,
        description="loads beyond it are refused, and an engine that grows beyond it is replaced; "
        "null: loads stay within the container, or the machine",
    )
    bulk_share: float = Field(default=0.1, ge=0, le=1, description="of the time under live load, owed to bulk")
    bulk_batch_ms: float = Field(default=100, gt=0, description="a bulk batch on a CPU is cut to about this long")
