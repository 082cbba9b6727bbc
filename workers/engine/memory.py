"""How much memory a further checkpoint needs, and how much there is.

Source of the container's figures: the kernel's Documentation/admin-guide/cgroup-v2.rst, "Memory Interface Files".
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
WEIGHTS = (".safetensors", ".onnx", ".bin")
LOADING = 2.0
"""A checkpoint takes up to twice the size of its weights while it loads: as read, and as laid out to compute."""
SLACK_BYTES = 64 * 2**20


def weight_bytes(folder: Path) -> int:
    """What its weights take on disk. Of several formats the largest counts: one is loaded."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return max(sum(path.stat().st_size for path in files if path.name.endswith(suffix)) for suffix in WEIGHTS)


def loading_bytes(weights: int) -> int:
    """What loading so many bytes of weights may take."""
    return int(weights * LOADING) + SLACK_BYTES


def free_bytes(limit_mb: int | None) -> int:
    """What this process may still take: of its own limit, of its container's, of the machine's."""
    found = [psutil.virtual_memory().available]
    if limit_mb is not None:
        found.append(limit_mb * 2**20 - psutil.Process().memory_info().rss)
    if (contained := _container_bytes()) is not None:
        found.append(contained)
    return max(0, min(found))


def cuda_free_bytes(device: str) -> int:
    """What the GPU has left, other processes on it counted."""
    import torch

    return int(torch.cuda.mem_get_info(None if device == "auto" else device)[0])


def _container_bytes() -> int | None:
    """What the container's limit leaves; files it has cached count as free. None without a limit."""
    with suppress(OSError, ValueError, KeyError):
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        figures = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return limit - used + int(figures["inactive_file"])
    return None


def give_back(collect: Callable[[], object]) -> None:
    """Has the allocator return what was freed: it would keep it, and the process look as large as before."""
    collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
