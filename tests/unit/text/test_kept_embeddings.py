"""Embeddings that a record keeps: another head over the same encoder scores them, and the encoder does not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipelines.embeddings import Embedding, read_embedding
from pipelines.items import CheckpointRef, Item, Line, Result, Scores
from pipelines.reexamine import reexamine
from pipelines.segment import ExaminationSettings
from pipelines.text.embedding_head import HEAD_FILE, EmbeddingHead, Head, load_embedding_head, write_head
from pipelines.text.encoder import Embedder, Window
from pipelines.text.spelling import Spelling
from pipelines.text_scores import known_of, read_texts, score_texts
from tests import tiny_checkpoints as tiny
from tests.checkpoints import Cards
from tests.records import chat_line, record

SLOT = "text.risk"
KEEP = ExaminationSettings(keep_embeddings=True)
TEXTS = ("hello there", " ".join(["你好"] * 200), "p.a.y f1rst")


@dataclass
class Encoder:
    """Counts what the encoder is given."""

    windows: int = 0


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    count, real = Encoder(), Embedder.embed_windows

    def counted(self: Embedder, windows: Sequence[Window]) -> object:
        count.windows += len(windows)
        return real(self, windows)

    monkeypatch.setattr(Embedder, "embed_windows", counted)
    return count


class Heads:
    """Checkpoints over one tiny encoder that differ in their head alone; `other` has an encoder of its own."""

    def __init__(self, directory: Path) -> None:
        self._cards = Cards(directory)
        self._finished = directory / "finished"
        tiny.embedding_head(self._finished)

    def model(self, name: str, head: Head, *, max_tokens: int = 128) -> EmbeddingHead:
        card = self._cards.card(
            name,
            slots=[SLOT],
            kind="embedding-head",
            labels={"risky": {"policies": ["scam"]}},
            artefacts=[HEAD_FILE],
            options={"max_tokens": max_tokens},
        )
        write_head(head, card.folder / HEAD_FILE)
        return load_embedding_head(card, self._finished, session="torch", device="cpu", threads=1)


@dataclass
class Asked:
    """The `Models` of a segment with one text slot."""

    model: EmbeddingHead
    digest: str
    checkpoints: Mapping[str, CheckpointRef] = field(init=False)

    def __post_init__(self) -> None:
        self.checkpoints = {SLOT: CheckpointRef(id="tiny", digest=self.digest * 64, session="torch")}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        return self.model.predict(items)


def head(direction: float) -> Head:
    """Of both halves: what a text means, and how it is spelt."""
    random = np.random.default_rng(7)
    spelling = Spelling(np.ones(64, np.float32), random.normal(size=(64, 1)).astype(np.float32))
    weight = direction * np.linspace(-1, 1, 16, dtype=np.float32)[None]
    return Head(("risky",), weight, np.zeros(1, np.float32), spelling)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Heads:
    return Heads(tmp_path_factory.mktemp("heads"))


def scores(results: Sequence[Result]) -> list[float]:
    return [result.labels["risky"] for result in results if isinstance(result, Scores)]


def test_an_embedding_is_read_as_it_was_stored() -> None:
    made = Embedding.of(np.random.default_rng(1).normal(size=(2, 384)).astype(np.float32), "a" * 64)
    read = read_embedding(made.stored())
    assert read is not None
    assert read.content == made.content
    assert read.is_by("a" * 64)
    assert not read.is_by("b" * 64)


@pytest.mark.parametrize("stored", ["", "nothing", f"{'a' * 16}.384.%%%", f"{'a' * 16}.7.{'0' * 40}"])
def test_what_cannot_be_read_is_no_embedding(stored: str) -> None:
    assert read_embedding(stored) is None


def test_another_head_on_the_same_encoder_scores_what_was_kept_without_running_it(
    heads: Heads, encoder: Encoder
) -> None:
    kept = [
        result.embedding
        for result in heads.model("first", head(1)).predict([Line(t, keep=True) for t in TEXTS])
        if isinstance(result, Scores)
    ]
    second = heads.model("second", head(-1))
    anew = second.predict([Line(text, keep=True) for text in TEXTS])
    before = encoder.windows
    again = second.predict([Line(text, embedding=one) for text, one in zip(TEXTS, kept, strict=True)])
    assert encoder.windows == before
    assert scores(again) == pytest.approx(scores(anew), abs=1e-6)


def test_a_text_whose_embedding_another_encoder_made_is_read_anew(heads: Heads, encoder: Encoder) -> None:
    (result,) = heads.model("first", head(1)).predict([Line("hello", keep=True)])
    assert isinstance(result, Scores)
    other, before = heads.model("narrow", head(1), max_tokens=64), encoder.windows
    assert scores(other.predict([Line("hello", embedding=result.embedding)])) == scores(other.predict([Line("hello")]))
    assert encoder.windows == before + 2


def test_nothing_is_kept_that_nobody_asked_for(heads: Heads) -> None:
    texts, _ = score_texts(read_texts([chat_line("hello")], None), Asked(heads.model("first", head(1)), "a"))
    assert texts[0].embeddings == {}
    assert "embeddings" not in texts[0].model_dump_json()


def test_a_rescan_after_a_head_changed_does_not_run_the_encoder(heads: Heads, encoder: Encoder) -> None:
    first, second = Asked(heads.model("first", head(1)), "a"), Asked(heads.model("second", head(-1)), "b")
    lines = [chat_line(text) for text in TEXTS]
    texts, _ = score_texts(read_texts(lines, None), first, keep=True)
    source = record(0, texts=texts)
    wanted, _ = score_texts(read_texts(lines, None), second, keep=True)
    before = encoder.windows

    found = reexamine(source, None, ["text"], second, KEEP).observations

    assert encoder.windows == before
    assert [text.scores for text in found.texts] == [text.scores for text in wanted]
    assert [text.scores for text in found.texts] != [text.scores for text in texts]
    assert len(known_of(found.texts)) == len(known_of(texts)) > len(TEXTS)  # a disguised text has two views
    assert found.checkpoints[SLOT].digest == "b" * 64


def test_a_text_that_is_normalised_otherwise_by_now_is_read_anew(heads: Heads, encoder: Encoder) -> None:
    first = Asked(heads.model("first", head(1)), "a")
    texts, _ = score_texts(read_texts([chat_line("Hello")], None), first, keep=True)
    earlier = texts[0].model_copy(update={"normalised": "HELLO"})  # as another version left it
    before = encoder.windows
    reexamine(record(0, texts=[earlier]), None, ["text"], first, KEEP)
    assert encoder.windows == before + 1
