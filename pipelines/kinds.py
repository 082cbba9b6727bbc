"""From a card and its folder to a model in memory: the one place that knows every kind and session.

What runs a kind is imported in its arm, so that a process pays only for what it loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipelines.cards import Card, CardError, Session
from pipelines.models import Model


def session_for(card: Card, session: Session | Literal["auto"] = "auto", device: str = "auto") -> Session:
    """What would run the weights, of the sessions that the card lists (and its folder therefore holds).

    `auto` on a CPU is the card's first, but the whole graph rather than torch: equal scores in about half the time. An
    8-bit graph, whose scores differ, only where it stands first. On CUDA it is the first that CUDA can run; graphs run
    there when asked for by name, since the usual onnxruntime has no CUDA.
    """
    if session != "auto":
        if session not in card.fields.sessions:
            raise CardError(f"{card.id}: cannot run as {session}; the card says {', '.join(card.fields.sessions)}")
        return session
    if not _is_cuda(device):
        first = card.fields.sessions[0]
        return "onnx" if first == "torch" and "onnx" in card.fields.sessions else first
    return next((name for name in card.fields.sessions if not name.startswith("onnx")), card.fields.sessions[0])


def load(
    card: Card,
    folder: Path,
    *,
    session: Session | Literal["auto"] = "auto",
    device: str = "auto",
    threads: int = 0,
) -> Model:
    """The model, not yet warmed up; `CardError` in one line when card, folder and session do not fit together.

    `device` is auto, cpu or cuda:N; `threads` 0 leaves the number of CPU threads to the session.
    """
    chosen = session_for(card, session, device)
    try:
        return _load(card, folder, chosen, device, threads)
    except CardError:
        raise
    except Exception as error:
        raise CardError(
            f"{card.id}: {card.fields.kind} does not load as {chosen} from {folder} ({type(error).__name__})"
        ) from error


def _load(card: Card, folder: Path, session: Session, device: str, threads: int) -> Model:
    match card.fields.kind, session:
        case "image-classification", "torch" | "onnx" | "onnx-int8":
            from pipelines.vision.classification import load_image_classifier

            return load_image_classifier(card, folder, session=session, device=device, threads=threads)
        case "zero-shot-image-classification", "torch" | "onnx" | "onnx-int8":
            from pipelines.vision.zero_shot import load_zero_shot_classifier

            return load_zero_shot_classifier(card, folder, session=session, device=device, threads=threads)
        case "whisper", "ctranslate2":
            from pipelines.speech.whisper import load_whisper

            return load_whisper(card, folder, device=device, threads=threads)
        case "whisper", "torch":
            from pipelines.speech.transformers_whisper import load_transformers_whisper

            return load_transformers_whisper(folder, device=device, threads=threads)
        case "screen-text", "onnx":
            from pipelines.ocr.paddle import load_screen_reader

            return load_screen_reader(card, folder, threads=threads)
        case "text-classification", "torch" | "onnx" | "onnx-int8":
            from pipelines.text.sequence_classification import load_text_classifier

            return load_text_classifier(card, folder, session=session, device=device, threads=threads)
        case "embedding-head", "torch" | "onnx" | "onnx-int8":
            from pipelines.text.embedding_head import load_embedding_head

            return load_embedding_head(card, folder, session=session, device=device, threads=threads)
        case "guard", "torch":
            from pipelines.text.guard import load_guard

            return load_guard(card, folder, device=device, threads=threads)
        case kind, _:
            raise CardError(f"{card.id}: nothing here runs {kind} as {session}")


def runs_on_cuda(card: Card, session: Session, device: str) -> bool:
    """Does the loaded model compute on a GPU? Graphs do only where this onnxruntime can."""
    if card.fields.kind == "screen-text" or not _is_cuda(device):
        return False
    if not session.startswith("onnx"):
        return True
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


def _is_cuda(device: str) -> bool:
    """Asks CTranslate2 about `auto`: it answers without the seconds that importing torch takes."""
    if device != "auto":
        return device.startswith("cuda")
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())
