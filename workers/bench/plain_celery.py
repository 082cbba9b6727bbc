"""What a good engineer writes in an afternoon: a Celery task a segment, every model in every child, JSON to S3.

Libraries as their documentation shows them, with two things beyond it: one thread a model, as many children share few
cores, and beam 1 for Whisper, as the pool hears. Nothing of the pool is used but the head of its text model, which is
data beside a card. Places come from the environment, as `workers.bench.celery_worker` sets it.
"""

from __future__ import annotations

import io
import json
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from celery import Celery

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

BROKER, FOLDERS, BUCKET = "BENCH_BROKER", "BENCH_FOLDERS", "BENCH_BUCKET"
ENDPOINT, ACCESS_KEY, SECRET_KEY = "BENCH_ENDPOINT", "BENCH_ACCESS_KEY", "BENCH_SECRET_KEY"
TASK = "bench.examine"

app = Celery("bench", broker=os.environ.get(BROKER), backend=os.environ.get(BROKER))
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, broker_connection_retry_on_startup=True)


@cache
def store() -> Any:
    return boto3.client(
        "s3",
        endpoint_url=os.environ[ENDPOINT],
        aws_access_key_id=os.environ[ACCESS_KEY],
        aws_secret_access_key=os.environ[SECRET_KEY],
        region_name="us-east-1",
    )


class Models:
    """All of them, in this child: loaded with its first segment."""

    def __init__(self) -> None:
        import torch
        from faster_whisper import WhisperModel
        from rapidocr import RapidOCR
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer, pipeline

        from pipelines.text.embedding_head import read_head
        from pipelines.vision.tf_same import TfSameResNet

        torch.set_num_threads(1)
        folders = json.loads(os.environ[FOLDERS])
        self.vision = pipeline(
            "image-classification",
            model=TfSameResNet.from_pretrained(folders["vision"]),
            image_processor=AutoImageProcessor.from_pretrained(folders["vision"], backend="pil"),
        )
        self.speech = WhisperModel(folders["speech"], device="cpu", compute_type="int8", cpu_threads=1)
        self.ocr = RapidOCR(params={"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "error"})
        self.tokenizer = AutoTokenizer.from_pretrained(folders["text"])
        self.encoder = AutoModel.from_pretrained(folders["text"], dtype=torch.float32, add_pooling_layer=False).eval()
        self.head = read_head(folders["head"])

    def texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Scores as on the encoder's card: prefixed, padded, mean-pooled, of length one; then the head."""
        import numpy as np
        import torch

        vectors = []
        for start in range(0, len(texts), 32):
            batch = [f"query: {text}" for text in texts[start : start + 32]]
            inputs = self.tokenizer(batch, padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.inference_mode():
                states = self.encoder(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            vectors.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        logits = self.head.logits(np.concatenate(vectors), texts)
        return np.asarray(1 / (1 + np.exp(-logits)), dtype=np.float32)


@cache
def models() -> Models:
    return Models()


@app.task(name=TASK)  # type: ignore[untyped-decorator]  # Celery ships no types
def examine(manifest: dict[str, Any]) -> float:
    """One segment; returns the wall clock when its result was stored."""
    import numpy as np

    loaded = models()
    pictures = list(_pictures(manifest))
    seen = loaded.vision(pictures, batch_size=8)
    read = [text for picture in pictures for text in loaded.ocr(np.asarray(picture)).txts or ()]
    said: list[str] = []
    if "audio" in manifest:
        spans, _ = loaded.speech.transcribe(io.BytesIO(_object(manifest["audio"]["key"])), beam_size=1, vad_filter=True)
        said = [span.text for span in spans]
    texts = [line["text"] for line in manifest.get("chat", ())] + said + read
    scores = loaded.texts(texts).tolist() if texts else []
    result = {"frames": seen, "texts": texts, "labels": loaded.head.labels, "scores": scores}
    key = f"results/{manifest['stream_id']}/{manifest['segment_id']}.json"
    store().put_object(Bucket=os.environ[BUCKET], Key=key, Body=json.dumps(result).encode())
    return time.time()


def _object(key: str) -> bytes:
    body: bytes = store().get_object(Bucket=os.environ[BUCKET], Key=key)["Body"].read()
    return body


def _pictures(manifest: dict[str, Any]) -> Iterator[Image.Image]:
    from PIL import Image

    objects: dict[str, bytes] = {}
    for frame in manifest.get("frames", ()):
        whole = objects.setdefault(frame["key"], b"") or _object(frame["key"])
        objects[frame["key"]] = whole
        yield Image.open(io.BytesIO(whole[frame["offset"] : frame["offset"] + frame["length"]])).convert("RGB")
