"""Which session runs a checkpoint, and what the rows of its output are called."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.cards import CardError, Label, Session, native_labels
from pipelines.kinds import session_for
from tests.tiny_checkpoints import card_of


@pytest.mark.parametrize(
    ("sessions", "on_cpu", "on_cuda"),
    [
        (("torch",), "torch", "torch"),
        (("torch", "onnx"), "onnx", "torch"),
        (("onnx", "torch", "onnx-int8"), "onnx", "torch"),
        (("torch", "onnx-int8"), "torch", "torch"),
        (("onnx-int8", "onnx", "torch"), "onnx-int8", "torch"),
        (("onnx",), "onnx", "onnx"),
    ],
)
def test_auto_takes_the_graph_on_a_cpu_and_torch_on_a_gpu(
    sessions: tuple[Session, ...], on_cpu: Session, on_cuda: Session
) -> None:
    card = card_of("image-classification", sessions)
    assert session_for(card, "auto", "cpu") == on_cpu
    assert session_for(card, "auto", "cuda:0") == on_cuda


def test_a_session_asked_for_by_name_is_taken_if_the_card_lists_it() -> None:
    card = card_of("image-classification", ("onnx", "torch"))
    assert session_for(card, "torch", "cpu") == "torch"
    with pytest.raises(CardError, match="cannot run as onnx-int8; the card says onnx, torch"):
        session_for(card, "onnx-int8", "cpu")


NAMED = {0: "calm", 1: "rude"}


def test_a_checkpoint_s_own_names_are_those_of_its_rows() -> None:
    card = card_of("text-classification", ("torch",), labels={"rude": Label(policies=("harassment",))})
    assert native_labels(card, NAMED) == ("calm", "rude")


def test_rows_of_the_card_go_before_the_names_of_a_base() -> None:
    labels = {"scam": Label(policies=("scam",), row=1), "benign": Label(row=0), "spam": Label(row=2)}
    card = card_of("text-classification", ("torch",), labels=labels)
    assert native_labels(card, NAMED) == ("benign", "scam", "spam")


def test_a_label_that_the_checkpoint_lacks_is_named() -> None:
    card = card_of("text-classification", ("torch",), labels={"gore": Label(policies=("violence",))})
    with pytest.raises(CardError, match="no label gore; it has calm, rude"):
        native_labels(card, NAMED)


@pytest.mark.parametrize("rows", [(0, None), (0, 0), (1, 2), (0, 2)])
def test_rows_that_leave_a_row_unnamed_are_refused(rows: tuple[int, int | None]) -> None:
    labels = {"scam": Label(policies=("scam",), row=rows[0]), "benign": Label(row=rows[1])}
    with pytest.raises(ValidationError, match="rows are given to every label"):
        card_of("text-classification", ("torch",), labels=labels)
