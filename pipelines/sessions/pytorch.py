"""The torch session: transformers checkpoints from a local folder, safetensors only, never remote code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as transformers_logging

from pipelines.cards import CardError

transformers_logging.disable_progress_bar()  # a bar for each checkpoint's weights has no place in a pool's log


def device_of(device: str) -> torch.device:
    """`auto` is the first CUDA device, or the CPU where there is none."""
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    return torch.device(device)


def load_module(loader: Any, folder: Path, *, device: str, threads: int, **options: object) -> Any:
    """A transformers model in float32, ready to infer; `loader` is an Auto class or a model class.

    A checkpoint that lacks some of the model's weights is refused: transformers would fill the gap with random
    numbers and score on. `threads` 0 leaves torch's pool alone; the pool is one for the whole process, so other
    values only ever lower it.
    """
    if threads:
        torch.set_num_threads(min(threads, torch.get_num_threads()))
    module, report = loader.from_pretrained(
        folder,
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        **options,
    )
    absent = sorted(str(key) for part in ("missing_keys", "mismatched_keys") for key in report[part])
    if absent:
        raise CardError(f"{folder.name}: the checkpoint lacks {len(absent)} weights of the model, first {absent[0]}")
    return module.eval().to(device_of(device))
