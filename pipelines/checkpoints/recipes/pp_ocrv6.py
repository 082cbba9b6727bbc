"""PP-OCRv6 small: detector, recogniser and line-angle classifier as rapidocr ships them, under plain names.

The recogniser's alphabet is inside its ONNX file (metadata key `character`), so there is no dictionary file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipelines.cards import Card

FILES = {
    "rapidocr/models/PP-OCRv6_det_small.onnx": "det.onnx",
    "rapidocr/models/PP-OCRv6_rec_small.onnx": "rec.onnx",
    "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx": "cls.onnx",
    "rapidocr-3.10.0.dist-info/licenses/LICENSE": "LICENSE",
    "rapidocr-3.10.0.dist-info/licenses/MODEL_LICENSES.md": "NOTICE",
}


def build(fetched: Path, card: Card, folder: Path) -> None:
    del card
    for path, name in FILES.items():
        shutil.copyfile(fetched / path, folder / name)
