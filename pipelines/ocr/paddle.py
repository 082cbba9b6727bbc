"""Frames to the text on them: PaddleOCR detector and recogniser, as RapidOCR runs them on ONNX Runtime.

The detector is the gate: a frame without text costs its pass only (tens of milliseconds), each line read
costs about as much again. Card options: `max_lines` (default 20), `max_side_px` of the detector (default 640).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rapidocr.ch_ppocr_det import TextDetector
from rapidocr.ch_ppocr_rec import TextRecInput, TextRecognizer
from rapidocr.main import DEFAULT_CFG_PATH
from rapidocr.utils.log import logger as rapidocr_logger
from rapidocr.utils.parse_parameters import ParseParams
from rapidocr.utils.process_img import get_rotate_crop_image

from pipelines.cards import Card, CardError
from pipelines.items import Failure, Item, Picture, Result, ScreenLine, ScreenText
from pipelines.ocr.columns import SURE, Reading, from_top_left, is_tall, pieced
from pipelines.scoring import only, prove

DETECTOR_FILE = "det.onnx"
RECOGNISER_FILE = "rec.onnx"
"""Carries its own character list; without one RapidOCR would look for it on the internet."""

ALL_LINES = 100
"""Even all of a frame's text is no more lines than this: a detector can be made to find hundreds."""

Quadrilaterals = NDArray[np.float32]
"""n x 4 corners x (x, y), in pixels."""
Crop = NDArray[np.uint8]
"""height x width x BGR: one line, turned to lie; a column a quarter to the left."""


@dataclass(frozen=True)
class ScreenReader:
    """RapidOCR's parts without its facade, which takes a failed detection for a frame without text."""

    detector: Any
    recogniser: Any
    max_lines: int

    def warm_up(self) -> None:
        """Reads a blank line too, because an empty frame would leave the recogniser cold."""
        prove(self.predict([Picture(np.full((360, 640, 3), 127, dtype=np.uint8))]))
        self.recogniser(TextRecInput(img=[np.full((48, 320, 3), 255, dtype=np.uint8)]))

    def predict(self, items: Sequence[Item]) -> Sequence[Result]:
        return [self._read(picture) for picture in only(Picture, items)]

    def _read(self, picture: Picture) -> ScreenText | Failure:
        image = np.ascontiguousarray(picture.pixels[..., ::-1])
        found = self._find(image)
        if isinstance(found, Failure):
            return found
        if not len(found):
            return ScreenText(lines=())
        # The largest lines are what a viewer sees first.
        areas = np.array([cv2.contourArea(corners) for corners in found])
        most = max(self.max_lines, ALL_LINES) if picture.all_text else self.max_lines
        kept = found[np.sort(np.argsort(-areas, kind="stable")[:most])]
        crops = [get_rotate_crop_image(image, corners.copy()) for corners in kept]
        read = self._recognised(crops, [is_tall(corners) for corners in kept])
        if isinstance(read, Failure):
            return read
        height, width = image.shape[:2]
        lines = tuple(
            ScreenLine(text=reading.text, confidence=reading.confidence, box=_box(corners, width, height))
            for reading, corners in zip(read, kept, strict=True)
        )
        return ScreenText(lines=pieced(lines, read, list(kept)), unread=len(found) - len(kept))

    def _recognised(self, crops: Sequence[Crop], tall: Sequence[bool]) -> list[Reading] | Failure:
        """A reading of each crop; of a column read with doubt, the surer of both ways to hold it."""
        read = self.recogniser(TextRecInput(img=list(crops)))
        if not np.isfinite(read.scores).all():
            return Failure(error="NonFiniteScore")
        lines = [Reading(text.strip(), float(score)) for text, score in zip(read.txts, read.scores, strict=True)]
        doubtful = [index for index, line in enumerate(lines) if tall[index] and line.confidence < SURE]
        if not doubtful:
            return lines
        turned = self.recogniser(TextRecInput(img=[np.ascontiguousarray(np.rot90(crops[i], 2)) for i in doubtful]))
        for index, text, score in zip(doubtful, turned.txts, turned.scores, strict=True):
            if score > lines[index].confidence:
                lines[index] = Reading(text.strip(), float(score), upwards=True)
        return lines

    def _find(self, image: NDArray[np.uint8]) -> Quadrilaterals | Failure:
        prepared = self.detector.get_preprocess()(image)
        if prepared is None:
            return Failure(error="FrameTooSmall")
        heat = self.detector.session(prepared)
        if not np.isfinite(heat).all():
            return Failure(error="NonFiniteScore")
        corners, _ = self.detector.postprocess_op(heat, image.shape[:2])
        boxes = np.asarray(self.detector.sorted_boxes(np.asarray(corners)), dtype=np.float32)
        return np.array([from_top_left(box) for box in boxes], dtype=np.float32)


def _box(corners: NDArray[np.float32], width: int, height: int) -> tuple[float, float, float, float]:
    """The upright box around four corners, as fractions of the frame."""
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    fractions = np.clip(np.array([left / width, top / height, right / width, bottom / height], np.float64), 0, 1)
    first, second, third, fourth = (round(float(fraction), 4) for fraction in fractions)
    return first, second, third, fourth


def load_screen_reader(card: Card, folder: Path, *, threads: int) -> ScreenReader:
    """Detector and recogniser of `folder`; on the CPU, which is fast enough for sampled frames."""
    absent = [name for name in (DETECTOR_FILE, RECOGNISER_FILE) if not (folder / name).is_file()]
    if absent:
        raise CardError(f"{card.id}: {folder} lacks {', '.join(absent)}")
    settings = ParseParams.update_batch(
        ParseParams.load(DEFAULT_CFG_PATH),
        {
            "Det.model_path": str(folder / DETECTOR_FILE),
            "Rec.model_path": str(folder / RECOGNISER_FILE),
            "Det.limit_side_len": int(card.fields.options.get("max_side_px", 640)),
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
        },
    )
    rapidocr_logger.setLevel("ERROR")
    for part in (settings.Det, settings.Rec):
        part.engine_cfg = settings.EngineConfig.onnxruntime
    settings.Rec.font_path = None
    recogniser = TextRecognizer(settings.Rec)
    return ScreenReader(TextDetector(settings.Det), recogniser, max_lines=int(card.fields.options.get("max_lines", 20)))
