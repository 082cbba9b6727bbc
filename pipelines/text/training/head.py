"""The whole training run: data and phrases in; head, calibrations, figures and the card that tells them out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pipelines.cards import Card
from pipelines.text.embedding_head import HEAD_FILE, write_head
from pipelines.text.encoder import Embedder
from pipelines.text.training.datasets import SPLITS, Example, phrase_examples, read_examples, read_held_out
from pipelines.text.training.evaluate import Evaluation, evaluate
from pipelines.text.training.fit import fit
from pipelines.text.training.phrases import read_phrases
from pipelines.text.training.report import write_card
from pipelines.text.training.vectors import VectorCache, name_for

MAX_TOKENS = 64
"""Chat lines are shorter; of a longer comment the beginning is learned."""
HELD_OUT_FILE = "heldout.jsonl"

Progress = Callable[[str], None]


def gather(card: Card, data: Path) -> tuple[Example, ...]:
    """Everything the head learns from and is judged on; `DataError` or `PhraseError` when something is missing."""
    phrases = card.folder / "phrases"
    return (
        *read_examples(data),
        *phrase_examples(read_phrases(phrases)),
        *read_held_out(phrases / HELD_OUT_FILE),
    )


def train_head(
    card: Card,
    examples: tuple[Example, ...],
    encoder: Path,
    cache: Path,
    out: Path,
    *,
    threads: int,
    progress: Progress,
) -> Evaluation:
    """Fits, judges, and writes head and card into `out`.

    `encoder` is the finished checkpoint folder; vectors are kept under `cache` for the next run.
    """
    counts = _counts(examples)
    progress(f"{len(examples)} examples: {counts}")
    embedder = Embedder(encoder, threads=threads, max_tokens=MAX_TOKENS)
    vectors = VectorCache(cache / name_for(card.fields.files["model.safetensors"], MAX_TOKENS), embedder).embed(
        [example.text for example in examples], lambda done, of: progress(f"embedded {done} of {of} new texts")
    )
    progress("fitting one head per policy")
    fitted = fit(examples, vectors)
    evaluation = evaluate(fitted, examples, vectors)
    out.mkdir(parents=True, exist_ok=True)
    write_head(fitted.head, out / HEAD_FILE)
    write_card(card, fitted, evaluation, counts, out)
    return evaluation


def _counts(examples: tuple[Example, ...]) -> str:
    counted = Counter(example.split for example in examples)
    return ", ".join(f"{split} {counted[split]}" for split in SPLITS)
