"""From frames to the array a vision checkpoint was trained on, as its `preprocessor_config.json` says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoImageProcessor

from pipelines.items import Picture

Pixels = NDArray[np.float32]
"""n x 3 x height x width, RGB, normalised."""

WARM_UP_PICTURE = Picture(np.full((360, 640, 3), 127, dtype=np.uint8))
"""The shape that frames come in: workers scale them to at most 640 pixels."""
WARM_UP_PICTURES = (WARM_UP_PICTURE,) * 8
"""A full batch: more than eight frames at a time are not faster on a CPU."""


def load_preparation(folder: Path) -> Callable[[Sequence[Picture]], Pixels]:
    """The checkpoint's own preprocessing, on Pillow whatever else is installed.

    Every session of a checkpoint goes through here, so that two sessions differ by their arithmetic only.
    """
    processor: Any = AutoImageProcessor.from_pretrained(
        folder, backend="pil", local_files_only=True, trust_remote_code=False
    )

    def prepare(pictures: Sequence[Picture]) -> Pixels:
        # The layout is given, because a picture three pixels high could be taken for channels first.
        batch = processor(
            [picture.pixels for picture in pictures], return_tensors="np", input_data_format="channels_last"
        )
        return np.ascontiguousarray(batch["pixel_values"], dtype=np.float32)

    return prepare
