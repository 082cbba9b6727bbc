"""A training run on disk, so that one that was killed goes on where it was: safetensors, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SNAPSHOT = "snapshot.safetensors"
BEST = "best.safetensors"


@dataclass
class Position:
    """Where a run is: `step` steps of epoch `epoch` are done; `losses` are those of the epochs before, on `tune`."""

    epoch: int = 0
    step: int = 0
    steps: int = 0
    losses: list[float] = field(default_factory=list)
    finished: bool = False

    @property
    def best(self) -> int | None:
        """The epoch with the least loss."""
        return min(range(len(self.losses)), key=self.losses.__getitem__) if self.losses else None


def save_snapshot(path: Path, groups: Mapping[str, Mapping[str, torch.Tensor]], position: Position) -> None:
    """`groups` of tensors under their names, for instance the weights and their running average."""
    tensors = {
        f"{group}/{name}": tensor.detach().clone().contiguous()
        for group, named in groups.items()
        for name, tensor in named.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(tensors, str(temporary), metadata={"position": json.dumps(asdict(position))})
    temporary.replace(path)


def read_snapshot(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], Position] | None:
    """What `save_snapshot` wrote; None when there is none."""
    if not path.is_file():
        return None
    groups: dict[str, dict[str, torch.Tensor]] = {}
    with safe_open(str(path), framework="pt") as tensors:
        position = Position(**json.loads(tensors.metadata()["position"]))
        for key in tensors.keys():  # noqa: SIM118  # no mapping
            group, _, name = key.partition("/")
            groups.setdefault(group, {})[name] = tensors.get_tensor(key)
    return groups, position
