from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.policies import POLICY_IDS
from pipelines.text.encoder import Embedder
from pipelines.text.training import tuning
from pipelines.text.training.adapted import Adapted, AdaptedVectors, Lora
from pipelines.text.training.batches import batches, rows_of_epoch
from pipelines.text.training.corpus import Corpus, corpus_of
from pipelines.text.training.crossvalidate import FOLDS, folds_of
from pipelines.text.training.datasets import Example, Split
from pipelines.text.training.probe import begin
from pipelines.text.training.states import StateStore
from pipelines.text.training.targets import ASSUMED_WEIGHT, LABELS, targets
from pipelines.text.training.tuning import Stage, Tuning, fingerprint, thinned
from tests import tiny_checkpoints as tiny
from tests.unit.text.test_adapter import encoder

LORA = Lora(layers=1, rank=2, alpha=4)
STAGE = Stage("short stage", {"phrases": 1.0}, epochs=3, tokens=64, patience=0)


def silent(line: str) -> None:
    pass


def examples() -> tuple[Example, ...]:
    """`money` is a scam; where it stands and what surrounds it differ."""
    splits: tuple[Split, ...] = ("train", "train", "train", "tune")
    found = []
    for at in range(48):
        words = [tiny.WORDS[(at * step) % len(tiny.WORDS)] for step in (1, 3, 5)]
        scam = at % 2 == 0
        text = " ".join([word for word in words if word != "money"] + (["money"] if scam else []))
        known = {policy: scam and policy == "scam" for policy in POLICY_IDS}
        found.append(Example(f"{text} {at}", str(at), known, "phrases", "en", splits[at % 4]))
    return tuple(found)


class Room:
    """A model, a corpus and its states, all small."""

    def __init__(self, folder: Path, states: Path) -> None:
        self.embedder = Embedder(folder, device="cpu", threads=1)
        self.corpus = corpus_of(examples(), self.embedder)
        self.store = StateStore(states, self.embedder, 2)
        self.store.prepare(self.corpus.windows, silent)
        self.adapted = Adapted(self.embedder.module, LORA, len(LABELS))

    def tuning(self, folder: Path, stage: Stage = STAGE) -> Tuning:
        begin(self.adapted, self.corpus, self.store, self.corpus.rows("train"))
        return Tuning(self.adapted, self.corpus, self.store, stage, folder, silent)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def room(folder: Path, tmp_path: Path) -> Room:
    return Room(folder, tmp_path / "states")


def test_cached_states_and_upper_layers_make_the_whole_encoder(room: Room, folder: Path) -> None:
    found = AdaptedVectors(room.adapted, room.store).embed_windows(room.corpus.windows)
    whole = Embedder(folder, device="cpu").embed_windows(room.corpus.windows)
    assert (found * whole).sum(axis=1) == pytest.approx(np.ones(len(whole)), abs=1e-4)


def test_states_are_computed_once(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    again = StateStore(tmp_path / "states", room.embedder, 2)
    monkeypatch.setattr(again, "_lower", None)
    again.prepare(room.corpus.windows, silent)
    first, second = (store.batch(room.corpus.windows[:3]) for store in (room.store, again))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


def test_tuning_lowers_the_loss_on_lines_that_it_does_not_learn_from(room: Room, tmp_path: Path) -> None:
    stage = replace(STAGE, patience=2, rate=1e-5, head_rate=0.05)
    run = Tuning(room.adapted, room.corpus, room.store, stage, tmp_path / "run", silent)
    before = run.loss(room.corpus.rows("tune"))
    position = run.run()
    assert position.losses
    assert run.loss(room.corpus.rows("tune")) == pytest.approx(min(position.losses), rel=1e-5)
    assert min(position.losses) < before


def test_a_run_that_was_killed_ends_in_the_same_weights(
    room: Room, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SNAPSHOT_STEPS", 2)
    room.tuning(tmp_path / "whole").run()
    whole = {name: tensor.detach().clone() for name, tensor in room.adapted.kept().items()}
    other = Room(folder, tmp_path / "states")
    killed = other.tuning(tmp_path / "killed")
    steps = iter(range(7))
    step = killed._step

    def dies(batch: Sequence[int]) -> float:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(batch)

    monkeypatch.setattr(killed, "_step", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    third = Room(folder, tmp_path / "states")
    third.tuning(tmp_path / "killed").run()
    for name, tensor in third.adapted.kept().items():
        assert torch.allclose(tensor, whole[name], atol=1e-6), name


def test_a_finished_run_is_not_run_again(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room.tuning(tmp_path / "run").run()
    again = room.tuning(tmp_path / "run")
    monkeypatch.setattr(again, "_step", None)
    assert again.run().finished


def test_what_nobody_knows_is_not_learned(room: Room, tmp_path: Path) -> None:
    column = LABELS.index("moderation/S")
    other = room.corpus.truth.copy()
    other[:, column] = 1
    run = room.tuning(tmp_path / "run")
    before = run.loss(room.corpus.rows("tune"))
    changed = Tuning(room.adapted, replace(room.corpus, truth=other), room.store, STAGE, tmp_path / "run", silent)
    assert changed.loss(room.corpus.rows("tune")) == before


def test_other_examples_or_settings_are_another_run(room: Room) -> None:
    name = fingerprint(STAGE, room.corpus, "encoder")
    assert fingerprint(STAGE, room.corpus, "encoder") == name
    other = Corpus(
        room.corpus.examples, room.corpus.windows, room.corpus.lengths, 1 - room.corpus.truth, room.corpus.weight
    )
    different = {
        fingerprint(replace(STAGE, rate=1.0), room.corpus, "encoder"),
        fingerprint(STAGE, other, "encoder"),
        fingerprint(STAGE, room.corpus, "another"),
    }
    assert len(different | {name}) == 4


def test_every_row_is_in_one_batch_and_no_batch_is_too_long() -> None:
    lengths = [3 + at % 17 for at in range(100)]
    found = batches(range(100), lengths, 60, (1, 2))
    assert sorted(row for batch in found for row in batch) == list(range(100))
    assert max(len(batch) * max(lengths[row] for row in batch) for batch in found) <= 60


def test_a_text_longer_than_a_batch_is_a_batch() -> None:
    assert batches([0], [500], 60, (0,)) == [[0]]


def test_a_share_of_a_source_takes_other_rows_each_epoch_until_all_were_seen() -> None:
    members = {"large": range(10), "small": range(10, 14)}
    epochs = [rows_of_epoch(members, {"large": 0.5, "small": 1.0, "absent": 1.0}, at, 0) for at in range(4)]
    seen = Counter(row for rows in epochs for row in rows)
    assert {seen[row] for row in range(10)} == {2}
    assert {seen[row] for row in range(10, 14)} == {4}


def test_thinning_keeps_the_first_token_and_adds_none() -> None:
    mask = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(50, 1)
    kept = thinned(mask, 0.5)
    assert bool((kept[:, 0] == 1).all())
    assert bool((kept <= mask).all())
    assert 0 < float(kept[:, 1:3].mean()) < 1


def test_what_follows_from_the_subject_of_a_data_set_weighs_less() -> None:
    example = Example("t", "t", {"hate": True, "scam": False}, "COLD train", "zh", "train", assumed=frozenset({"scam"}))
    found = targets([example])
    assert found.weight[0, LABELS.index("hate")] == 1
    assert found.weight[0, LABELS.index("scam")] == pytest.approx(ASSUMED_WEIGHT)
    assert found.weight[0, LABELS.index("drugs")] == 0


def test_folds_share_the_examples_of_a_rare_label(room: Room) -> None:
    truth = np.zeros((50, len(LABELS)), dtype=np.float32)
    truth[::5, LABELS.index("moderation/V2")] = 1
    lines = [Example(str(at), str(at), {}, "Moderation half", "en", "train") for at in range(50)]
    corpus = Corpus(lines, [(0,)] * 50, [1] * 50, truth, truth)
    folds = folds_of(corpus, range(50))
    assert Counter(folds.tolist()) == dict.fromkeys(range(FOLDS), 10)
    assert Counter(folds[::5].tolist()) == dict.fromkeys(range(FOLDS), 2)
