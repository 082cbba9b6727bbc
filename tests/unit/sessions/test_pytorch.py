from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageClassification

from pipelines.sessions.pytorch import load_module
from tests import tiny_checkpoints as tiny


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("asked", "taken"), [(0, 2), (8, 2), (1, 1)])
@pytest.mark.usefixtures("two_threads")
def test_threads_are_only_ever_lowered(asked: int, taken: int, tmp_path: Path) -> None:
    tiny.resnet(tmp_path)
    load_module(AutoModelForImageClassification, tmp_path, device="cpu", threads=asked)
    assert torch.get_num_threads() == taken


@pytest.mark.parametrize(
    "module", ["pipelines.vision.duplicates", "pipelines.kinds", "pipelines.scoring", "workers.score"]
)
def test_importing_what_workers_and_commands_need_brings_no_model_runtime(module: str) -> None:
    """In a process of its own: this one may have imported anything."""
    heavy = "{'torch', 'transformers', 'ctranslate2', 'faster_whisper', 'rapidocr', 'onnxruntime'}"
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
