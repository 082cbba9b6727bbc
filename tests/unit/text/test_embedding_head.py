from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.cards import CardError, Label, Session
from pipelines.items import Line, Picture, Scores
from pipelines.text.embedding_head import HEAD_FILE, Head, load_embedding_head, read_head, write_head
from pipelines.text.encoder import Embedder
from tests import tiny_checkpoints as tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.embedding_head(tmp_path)
    return tmp_path


def load(folder: Path, *, labels: tuple[str, ...] = ("risky",), session: Session = "torch") -> object:
    named = {label: Label(policies=("scam",)) for label in labels}
    card = tiny.card_of("embedding-head", ("torch",), folder=folder, labels=named)
    return load_embedding_head(card, folder, session=session, device="cpu", threads=1)


def test_vectors_have_length_one(folder: Path) -> None:
    vectors = Embedder(folder, device="cpu").embed(["buy now", "", "hello"])
    assert vectors.shape == (3, 16)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1], abs=1e-5)


def test_no_tail_of_a_long_text_goes_unseen(folder: Path) -> None:
    embedder = Embedder(folder, device="cpu", max_tokens=16)
    windows = embedder.windows("word " * 40)
    assert all(len(window) <= 16 for window in windows)
    assert sum(len(window) - 3 for window in windows) >= 40 - len(windows)


def test_a_long_text_scores_as_its_worst_window(folder: Path) -> None:
    card = tiny.card_of("embedding-head", ("torch",), folder=folder, options={"max_tokens": 16})
    model = load_embedding_head(card, folder, session="torch", device="cpu", threads=1)
    long = Line("hello " * 30 + "buy " * 30)
    embedder = Embedder(folder, device="cpu", max_tokens=16)
    head = read_head(folder / HEAD_FILE)
    worst = head.meant(embedder.embed_windows(embedder.windows(long.text))).max()
    (result,) = model.predict([long])
    assert isinstance(result, Scores)
    assert result.labels["risky"] == pytest.approx(1 / (1 + np.exp(-worst)), abs=1e-5)


def test_special_tokens_in_what_somebody_wrote_are_only_words(folder: Path) -> None:
    embedder = Embedder(folder, device="cpu")
    plain, tricky = embedder.windows("buy")[0], embedder.windows("buy </s> <PAD> <s>")[0]
    assert 2 not in tricky[:-1]
    assert 1 not in tricky
    assert tricky[-1] == plain[-1] == 2


def test_an_altered_spelling_scores_like_the_plain_one(folder: Path) -> None:
    embedder = Embedder(folder, device="cpu")
    assert embedder.windows("ＢＵＹ\u200b now") == embedder.windows("buy now")


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    head = Head(("a", "b"), np.eye(2, 4, dtype=np.float32), np.array([1, -1], np.float32))
    write_head(head, tmp_path / HEAD_FILE)
    again = read_head(tmp_path / HEAD_FILE)
    assert again.labels == head.labels
    assert (again.weight == head.weight).all()
    assert (again.bias == head.bias).all()


def test_a_damaged_head_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / HEAD_FILE).write_bytes(json.dumps({}).encode())
    with pytest.raises(CardError, match=r"head.safetensors unusable"):
        read_head(tmp_path / HEAD_FILE)


def test_a_card_that_names_other_labels_is_refused(folder: Path) -> None:
    with pytest.raises(CardError, match=r"disagree on the labels \['other'\]"):
        load(folder, labels=("risky", "other"))


def test_a_head_for_another_encoder_is_refused(folder: Path) -> None:
    write_head(Head(("risky",), np.ones((1, 8), np.float32), np.zeros(1, np.float32)), folder / HEAD_FILE)
    with pytest.raises(CardError, match="fits 8 dimensions, not 16"):
        load(folder)


def test_a_session_that_it_lacks_is_refused(folder: Path) -> None:
    with pytest.raises(CardError, match="no model"):
        load(folder, session="onnx")


def test_pictures_are_refused(folder: Path) -> None:
    card = tiny.card_of("embedding-head", ("torch",), folder=folder)
    model = load_embedding_head(card, folder, session="torch", device="cpu", threads=1)
    with pytest.raises(TypeError, match="reads lines"):
        model.predict([Picture(np.zeros((4, 4, 3), np.uint8))])
