"""The whole training run: data and phrases in; adapter, head, calibrations, figures and their card out."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.cards import Card
from pipelines.policies import POLICIES_FILE, read_policies
from pipelines.sessions.adapter import ADAPTER_FILES, WEIGHTS_FILE, adapter_of
from pipelines.text.embedding_head import HEAD_FILE, read_head, write_head
from pipelines.text.encoder import Embedder
from pipelines.text.training.adapted import AdaptedVectors, Lora
from pipelines.text.training.corpus import Corpus, corpus_of
from pipelines.text.training.crossvalidate import CrossValidated, crossvalidate
from pipelines.text.training.datasets import (
    CHAT,
    PAIRS,
    SPLITS,
    Example,
    phrase_examples,
    read_examples,
    read_held_out,
    read_lines,
    without_leaks,
)
from pipelines.text.training.evaluate import Evaluation, evaluate
from pipelines.text.training.fit import Fitted, fit, fit_both
from pipelines.text.training.head_folds import JUDGED, crossvalidate_head
from pipelines.text.training.operating import operating
from pipelines.text.training.phrases import read_phrases
from pipelines.text.training.progress import Progress
from pipelines.text.training.reliability import PICTURE, draw
from pipelines.text.training.report import Report, write_card
from pipelines.text.training.stages import BROAD, LORA, MAX_TOKENS, NARROW, Bench, Workshop
from pipelines.text.training.tuning import Stage
from pipelines.text.training.vectors import VectorCache, WindowEncoder, name_for
from pipelines.text.training.views import Unmask, with_views

HELD_OUT_FILE = "heldout.jsonl"
EVALUATION_FILES = {CHAT: "chat.jsonl", PAIRS: "hate_pairs.jsonl"}
"""Lines by another author than the phrases, under `evaluation/` beside the card; judged, never learned from."""


@dataclass(frozen=True)
class Course:
    """One run. `encoder` is the finished checkpoint folder; `work` keeps what the next run need not compute again."""

    card: Card
    encoder: Path
    work: Path
    out: Path
    progress: Progress
    threads: int = 0
    lora: Lora = LORA
    broad: Stage = BROAD
    narrow: Stage = NARROW

    @property
    def sha256(self) -> str:
        return self.card.fields.files["model.safetensors"]


def gather(card: Card, data: Path, unmask: Unmask) -> tuple[Example, ...]:
    """Everything to learn from and to be judged on; `DataError` or `PhraseError` when something is missing."""
    phrases = card.folder / "phrases"
    files = {source: card.folder / "evaluation" / name for source, name in EVALUATION_FILES.items()}
    apart = [line for source, path in files.items() if path.is_file() for line in read_lines(path, source)]
    examples = (
        *read_examples(data),
        *phrase_examples(read_phrases(phrases)),
        *read_held_out(phrases / HELD_OUT_FILE),
        *apart,
    )
    return without_leaks(with_views(examples, unmask))


def train(course: Course, examples: Sequence[Example]) -> Report:
    """Adapter, head and card, written into `course.out`. What was interrupted goes on where it was."""
    bench = _bench(course, examples)
    corpus, vectors = bench.shop.corpus, AdaptedVectors(bench.adapted, bench.store)
    bench.prepare(list(corpus.windows))
    broad = bench.broad(course.broad)
    adapter = bench.narrow(broad, corpus, course.narrow)
    bench.reset(adapter)  # as it is stored, in half precision
    fitted, evaluation = _fitted(course, corpus, vectors, adapter)
    folds = crossvalidate(bench, broad, course.narrow)
    bench.reset(None)
    _, frozen = _fitted(course, corpus, vectors, None, spelling=False)
    _copy(adapter, course.out)
    return _written(course, fitted, _report(evaluation, frozen, folds, examples))


def cross_validated(course: Course, examples: Sequence[Example]) -> tuple[CrossValidated, ...]:
    """The folds alone: of heads where the card has no adapter, else of the adapter's narrow stage.

    What an earlier run left in `course.work` is used.
    """
    if adapter_of(course.card) is not None:
        bench = _bench(course, examples)
        return crossvalidate(bench, bench.broad(course.broad), course.narrow)
    chosen = [example for example in examples if example.source in JUDGED and not example.written]
    embedder = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS)
    windows = [embedder.windows(example.text) for example in chosen]
    cache = VectorCache(course.work / name_for(course.sha256, None), embedder)
    vectors = cache.embed([window for parts in windows for window in parts], course.progress)
    starts = np.cumsum([0, *map(len, windows)])[:-1]
    means = np.add.reduceat(vectors, starts) / np.array([[len(parts)] for parts in windows], dtype=np.float32)
    return crossvalidate_head(chosen, means.astype(np.float32))


def judge(course: Course, examples: Sequence[Example]) -> Evaluation:
    """What lies beside the card, as it is, on the held-out examples among these; nothing is fitted or written."""
    card = course.card
    adapter = adapter_of(card)
    embedder = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS, adapter=adapter)
    corpus = corpus_of([example for example in examples if example.split == "held-out"], embedder)
    fitted = Fitted(read_head(card.folder / HEAD_FILE), card.fields.labels)
    return evaluate(fitted, corpus.examples, _vectors(course, corpus, embedder, adapter))


def train_head(course: Course, examples: Sequence[Example]) -> Report:
    """Head and card alone, on the adapter that lies beside the card, or on the frozen encoder where none does.

    Cross-validation of an adapter belongs to its training: the card keeps those figures as they are.
    """
    course.progress(f"{len(examples)} examples: {_counts(examples)}")
    embedder = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS)
    corpus = corpus_of(examples, embedder)
    if (adapter := adapter_of(course.card)) is not None:
        _, frozen = _fitted(course, corpus, embedder, None, spelling=False)
        adapted = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS, adapter=adapter)
        fitted, evaluation = _fitted(course, corpus, adapted, adapter)
        _copy(adapter, course.out)
        return _written(course, fitted, _report(evaluation, frozen, (), examples))
    vectors = _vectors(course, corpus, embedder, None)
    course.progress("fitting one head per policy on the frozen encoder, without spelling and with it")
    plain, fitted = fit_both(corpus.examples, vectors)
    evaluation, frozen = (evaluate(each, corpus.examples, vectors) for each in (fitted, plain))
    folds = cross_validated(course, examples)
    return _written(course, fitted, _report(evaluation, frozen, folds, examples))


def _report(
    evaluation: Evaluation, frozen: Evaluation, folds: tuple[CrossValidated, ...], examples: Sequence[Example]
) -> Report:
    thresholds = operating(evaluation.judged, read_policies(POLICIES_FILE))
    return Report(evaluation, frozen, folds, _counts(examples), thresholds)


def _bench(course: Course, examples: Sequence[Example]) -> Bench:
    course.progress(f"{len(examples)} examples: {_counts(examples)}")
    embedder = Embedder(course.encoder, threads=course.threads, max_tokens=MAX_TOKENS)
    corpus = corpus_of(examples, embedder)
    base_model = str(course.card.metadata.get("base_model", course.card.id))
    return Bench(Workshop(embedder, corpus, course.work, base_model, course.sha256, course.progress, course.lora))


def _fitted(
    course: Course, corpus: Corpus, encoder: WindowEncoder, adapter: Path | None, *, spelling: bool = True
) -> tuple[Fitted, Evaluation]:
    vectors = _vectors(course, corpus, encoder, adapter)
    halves = "and its spelling" if spelling else "alone"
    course.progress(f"fitting one head per policy on the {'adapted' if adapter else 'frozen'} encoder {halves}")
    fitted = fit(corpus.examples, vectors, spelling=spelling)
    return fitted, evaluate(fitted, corpus.examples, vectors)


def _vectors(course: Course, corpus: Corpus, encoder: WindowEncoder, adapter: Path | None) -> NDArray[np.float32]:
    name = name_for(course.sha256, adapter / WEIGHTS_FILE if adapter else None)
    return VectorCache(course.work / name, encoder).embed(corpus.windows, course.progress)


def _copy(adapter: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for name in ADAPTER_FILES:
        if not (out / name).exists() or not (out / name).samefile(adapter / name):
            shutil.copyfile(adapter / name, out / name)


def _written(course: Course, fitted: Fitted, report: Report) -> Report:
    course.out.mkdir(parents=True, exist_ok=True)
    write_head(fitted.head, course.out / HEAD_FILE)
    draw(report.evaluation.policies, course.out / PICTURE)
    write_card(course.card, fitted, report, course.out)
    return report


def _counts(examples: Sequence[Example]) -> str:
    counted = Counter(example.split for example in examples)
    return ", ".join(f"{split} {counted[split]}" for split in SPLITS)
