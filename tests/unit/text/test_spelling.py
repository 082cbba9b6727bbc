"""The sparse half of the risk head: what it sees of a text, and what it adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.cards import CardError
from pipelines.text.embedding_head import HEAD_FILE, Head, read_head, write_head
from pipelines.text.spelling import Spelling, features, runs
from pipelines.text.training.spelled import add, folds_of, matrix_of, rarity_of

BUCKETS = 1 << 12


@given(st.text(max_size=60))
def test_any_text_has_runs_within_the_buckets_each_once(text: str) -> None:
    buckets, values = runs(text, BUCKETS)
    assert len(buckets) == len(values) > 0
    assert (np.diff(buckets) > 0).all()
    assert buckets[0] >= 0
    assert buckets[-1] < BUCKETS
    assert (values >= 1).all()


def test_runs_are_those_of_the_normalised_text() -> None:
    np.testing.assert_array_equal(runs("加Ｖ信", BUCKETS)[0], runs("加v信", BUCKETS)[0])


def test_a_run_is_the_same_wherever_it_stands() -> None:
    alone, among = set(runs("博彩", 1 << 30)[0]), set(runs("今天博彩吗", 1 << 30)[0])
    assert len(alone & among) == 4, "the blank, two characters and their pair"


def test_the_order_of_characters_matters() -> None:
    assert set(runs("ab", 1 << 30)[0]) != set(runs("ba", 1 << 30)[0])


def test_features_are_of_length_one_and_leave_out_what_was_never_learned_from() -> None:
    rarity = np.zeros(BUCKETS, np.float32)
    rarity[runs("hello", BUCKETS)[0]] = 2
    assert np.linalg.norm(features("hello you", rarity)[1]) == pytest.approx(1)
    assert not features("再见", np.zeros(BUCKETS, np.float32))[1].any()


def test_a_bucket_that_hardly_ever_occurs_weighs_nothing() -> None:
    rarity = rarity_of(["free coins"] * 3 + ["xyzzy"])
    assert not features("xyzzy", rarity)[1][1:-1].all()
    assert features("free coins", rarity)[1].all()


def test_characters_learn_what_the_embeddings_leave_open() -> None:
    texts = [f"加微信 {at}" for at in range(30)] + [f"晚上好 {at}" for at in range(30)]
    truth = np.array([True] * 30 + [False] * 30)
    rarity = rarity_of(texts)
    found = add(matrix_of(texts, rarity), np.zeros(60), truth, np.ones(60), 4.0)
    logits = Spelling(rarity, found.weight[:, None]).logits(["加微信 聊", "晚上好 呀"])[:, 0] + found.bias
    assert logits[0] > 0 > logits[1]


def test_embeddings_that_know_it_all_keep_their_say() -> None:
    texts = [f"line {at}" for at in range(200)]
    truth = np.arange(200) % 2 == 0
    meant = np.where(truth, 3.0, -3.0)
    found = add(matrix_of(texts, rarity_of(texts)), meant, truth, np.ones(200), 0.5)
    assert found.factor > 0.5


def test_lines_of_one_group_are_in_one_fold() -> None:
    folds = folds_of(["a", "b", "a", "c", "b"])
    assert folds[0] == folds[2]
    assert folds[1] == folds[4]


def test_a_head_with_spelling_survives_its_file(tmp_path: Path) -> None:
    head = _head()
    write_head(head, tmp_path / HEAD_FILE)
    again = read_head(tmp_path / HEAD_FILE)
    vectors = np.eye(2, 4, dtype=np.float32)
    np.testing.assert_allclose(
        again.logits(vectors, ["加微信", "hi"]), head.logits(vectors, ["加微信", "hi"]), atol=1e-2
    )


def test_spelling_adds_to_what_the_embeddings_say() -> None:
    head = _head()
    vectors = np.eye(2, 4, dtype=np.float32)
    added = head.logits(vectors, ["加微信", "hi"]) - replace(head, spelling=None).logits(vectors, ["加微信", "hi"])
    np.testing.assert_allclose(added, head.spelt(["加微信", "hi"]), atol=1e-5)


@pytest.mark.parametrize("buckets", [BUCKETS - 1, BUCKETS // 2])
def test_a_file_whose_halves_do_not_fit_is_named(tmp_path: Path, buckets: int) -> None:
    head = _head()
    assert head.spelling is not None
    write_head(
        replace(head, spelling=replace(head.spelling, rarity=np.ones(buckets, np.float32))), tmp_path / HEAD_FILE
    )
    with pytest.raises(CardError, match="do not fit together"):
        read_head(tmp_path / HEAD_FILE)


def _head() -> Head:
    dice = np.random.default_rng(0)
    spelling = Spelling(np.ones(BUCKETS, np.float32), dice.normal(size=(BUCKETS, 2)).astype(np.float32))
    return Head(("a", "b"), np.ones((2, 4), np.float32), np.zeros(2, np.float32), spelling)
