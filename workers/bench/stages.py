"""Single models alone: as the engine runs them, and as the libraries' own ways do, on the same media and threads.

    python -m workers.bench.stages FOLDER --items 32 --blocks 3

Prints one JSON object a line, a `Stage` each.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipelines import kinds
from pipelines.cards import read_card
from pipelines.checkpoints import ensure
from pipelines.decode import InProcess
from pipelines.items import Clip, Item, Line, Picture
from workers.bench.corpus import Corpus, Shape, read_corpus
from workers.bench.player import own_replies
from workers.bench.report import Stage
from workers.checkpoints import s3_fetcher
from workers.config import Config, load_config
from workers.fetch import fetch_segment

BATCH = 8
LINES = 32
THREADS = max(1, (os.cpu_count() or 1) // 2)
"""As many as the engine gives each model."""
SESSION = "as the engine runs it"

Way = tuple[str, Callable[[], object]]


def measured(model: str, unit: str, items: int, ways: Sequence[Way], blocks: int) -> Iterator[Stage]:
    """Each way runs over all items in each block, in changing order, after one round that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name, _ in ways}
    cpu_s: dict[str, list[float]] = {name: [] for name, _ in ways}
    for _, run in ways:
        run()
    for block in range(blocks):
        for name, run in (*ways[block % len(ways) :], *ways[: block % len(ways)]):
            began, cpu = time.monotonic(), time.process_time()
            run()
            seconds[name].append(time.monotonic() - began)
            cpu_s[name].append(time.process_time() - cpu)
    for name, _ in ways:
        per_s = tuple(round(items / one, 3) for one in seconds[name])
        yield Stage(
            model=model, way=name, unit=unit, per_s=per_s, cpu_s=tuple(round(one / items, 5) for one in cpu_s[name])
        )


class Media:
    """Decoded items of the corpus: as many as are wanted, again and again if there are fewer."""

    def __init__(self, corpus: Corpus, config: Config, count: int) -> None:
        manifests = [one for shape in _shapes(corpus) for one in corpus.segments[shape]]
        side_px = config.examination.frame_side_px
        segments = [fetch_segment(manifest, corpus, decoder=InProcess(), max_side_px=side_px) for manifest in manifests]
        self.pictures = _cycled([frame.picture for one in segments for frame in one.frames if frame.picture], count)
        self.clips = _cycled([Clip(one.audio, "en") for one in segments if one.audio is not None], count)
        self.lines = _cycled([Line(line.text) for one in segments for line in one.chat or ()], count)


def _shapes(corpus: Corpus) -> Sequence[Shape]:
    return [shape for shape in corpus.segments if shape != "quiet"]


def _cycled(found: Sequence[Any], count: int) -> list[Any]:
    return [found[index % len(found)] for index in range(count)]


class Bench:
    def __init__(self, config: Config, media: Media) -> None:
        self._config = config
        self._media = media

    def stages(self, items: int, blocks: int) -> Iterator[Stage]:
        media = self._media
        clips, lines = media.clips[: max(1, items // 4)], media.lines
        yield from measured("speech", "clip of 10 s", len(clips), self._speech(clips), blocks)
        yield from measured("vision", "frame", items, self._vision(media.pictures), blocks)
        yield from measured("ocr", "frame", items, self._ocr(media.pictures), blocks)
        yield from measured("text", "line", items, self._text(lines), blocks)

    def _speech(self, clips: Sequence[Clip]) -> list[Way]:
        import numpy as np
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        folder, predict = self._loaded("speech")
        plain = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True)
        batched = BatchedInferencePipeline(model=plain)
        joined = np.concatenate([clip.samples for clip in clips])

        def one_by_one() -> None:
            for clip in clips:
                list(batched.transcribe(clip.samples, language="en", beam_size=1, batch_size=BATCH)[0])

        def together() -> None:
            list(batched.transcribe(joined, language="en", beam_size=1, batch_size=BATCH)[0])

        return [
            (SESSION, lambda: predict(clips)),
            ("faster-whisper batched, a call a clip", one_by_one),
            ("faster-whisper batched, all clips as one recording", together),
        ]

    def _vision(self, pictures: Sequence[Picture]) -> list[Way]:
        from PIL import Image
        from transformers import AutoImageProcessor, pipeline

        from pipelines.sessions.onnx_runtime import graph_file, open_graph
        from pipelines.vision.pixels import load_preparation
        from pipelines.vision.tf_same import TfSameResNet

        folder, predict = self._loaded("vision")
        run = pipeline(
            "image-classification",
            model=TfSameResNet.from_pretrained(folder),
            image_processor=AutoImageProcessor.from_pretrained(folder, backend="pil"),
        )
        images = [Image.fromarray(picture.pixels) for picture in pictures]
        graph = open_graph(graph_file(folder, "model.onnx"), device="cpu", threads=THREADS)
        pixels = load_preparation(folder)(pictures).transpose(0, 2, 3, 1)[..., ::-1].copy()
        return [
            (SESSION, lambda: [predict(batch) for batch in _batches(pictures, BATCH)]),
            ("transformers.pipeline", lambda: run(images, batch_size=BATCH)),
            ("ONNX Runtime alone, prepared pixels", lambda: [graph(batch) for batch in _batches(pixels, BATCH)]),
        ]

    def _ocr(self, pictures: Sequence[Picture]) -> list[Way]:
        from rapidocr import RapidOCR

        _, predict = self._loaded("ocr")
        engine = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": THREADS})
        return [
            (SESSION, lambda: predict(pictures)),
            ("RapidOCR as it comes", lambda: [engine(picture.pixels[..., ::-1]) for picture in pictures]),
        ]

    def _text(self, lines: Sequence[Line]) -> list[Way]:
        import torch
        from transformers import AutoModel, AutoTokenizer, pipeline

        folder, predict = self._loaded("text")
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, add_pooling_layer=False)
        run = pipeline("feature-extraction", model=model, tokenizer=AutoTokenizer.from_pretrained(folder))
        texts = [f"query: {line.text}" for line in lines]
        return [
            (SESSION, lambda: [predict(batch) for batch in _batches(lines, LINES)]),
            ("transformers.pipeline, vectors only", lambda: run(texts, batch_size=LINES, return_tensors=True)),
        ]

    def _loaded(self, kind: str) -> tuple[Path, Callable[[Sequence[Item]], object]]:
        name = next(name for name in self._config.slots if name.partition(".")[0] == kind)
        card = read_card(self._config.cards_directory / self._config.slots[name].checkpoint)
        folder = ensure(card, self._config.models, fetch_s3=s3_fetcher(self._config.store)).folder
        session = kinds.session_for(card, self._config.slots[name].session, "cpu")
        model = kinds.load(card, folder, session=session, device="cpu", threads=THREADS)
        model.warm_up()
        return folder, model.predict


def _batches(items: Any, size: int) -> Iterator[Any]:
    return (items[start : start + size] for start in range(0, len(items), size))


def main() -> None:
    replies = own_replies()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--items", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=3)
    options = parser.parse_args()
    config = load_config()
    bench = Bench(config, Media(read_corpus(options.folder), config, options.items))
    for stage in bench.stages(options.items, options.blocks):
        replies.write(stage.model_dump_json() + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
