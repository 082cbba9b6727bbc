"""From a card to a finished folder: sources in order, pins, the lock file, two processes at once."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest

from pipelines.cards import read_card
from pipelines.checkpoints import CheckpointError, Lock, ensure, standing, verify
from tests.checkpoints import CHANGED, FILES, Cards, ensure_in_a_process, pins, sha256, write_files


def lock_of(cards: Cards) -> Lock:
    return Lock(cards.directory / "models.lock.json")


def test_a_local_folder_becomes_a_verified_checkpoint(cards: Cards, models: Path) -> None:
    cards.finished()
    checkpoint = ensure(cards.card(files=pins()), models)
    assert checkpoint.folder == models / "tiny"
    assert {path.name: path.read_bytes() for path in checkpoint.folder.iterdir()} == FILES


def test_the_digest_covers_every_file_and_artefact(cards: Cards, models: Path) -> None:
    cards.finished()
    write_files(cards.directory / "tiny", {"ranges.json": b"{}"})
    checkpoint = ensure(cards.card(files=pins(), artefacts=["ranges.json"]), models)
    lines = sorted(f"{digest}  {name}\n" for name, digest in {**pins(), "ranges.json": sha256(b"{}")}.items())
    assert checkpoint.digest == hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_new_artefact_is_a_new_digest(cards: Cards, models: Path) -> None:
    cards.finished()
    write_files(cards.directory / "tiny", {"ranges.json": b"{}"})
    card = cards.card(files=pins(), artefacts=["ranges.json"])
    before = ensure(card, models).digest
    write_files(cards.directory / "tiny", {"ranges.json": b"[]"})
    assert ensure(card, models).digest != before


def test_a_reference_names_card_digest_and_session(cards: Cards, models: Path) -> None:
    cards.finished()
    checkpoint = ensure(cards.card(files=pins()), models)
    reference = checkpoint.ref("torch")
    assert (reference.id, reference.digest, reference.session) == ("tiny", checkpoint.digest, "torch")


def test_a_ready_checkpoint_needs_no_source(cards: Cards, models: Path) -> None:
    write_files(models / "tiny", FILES)
    assert ensure(cards.card(files=pins()), models).folder == models / "tiny"


def test_a_damaged_checkpoint_is_got_again_and_said_so(cards: Cards, models: Path) -> None:
    cards.finished()
    write_files(models / "tiny", CHANGED)
    said: list[str] = []
    checkpoint = ensure(cards.card(files=pins()), models, progress=said.append)
    assert (checkpoint.folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert said[0].startswith("tiny: model.safetensors: has sha256")


def test_a_source_with_other_bytes_is_refused_in_one_line(cards: Cards, models: Path) -> None:
    cards.finished(CHANGED)
    with pytest.raises(CheckpointError, match=r"^tiny: folder finished gave .*model\.safetensors: has sha256 [^\n]*$"):
        ensure(cards.card(files=pins()), models)
    assert not (models / "tiny").exists()


def test_the_next_source_is_tried_when_one_fails(cards: Cards, models: Path) -> None:
    cards.finished()
    sources = [{"local": "absent"}, {"s3": "s3://weights/tiny"}, {"local": "finished"}]
    said: list[str] = []
    ensure(cards.card(files=pins(), sources=sources), models, progress=said.append)
    assert any("no store is configured" in line for line in said)


def test_every_failed_source_is_named(cards: Cards, models: Path) -> None:
    card = cards.card(files=pins(), sources=[{"local": "absent"}, {"s3": "s3://weights/tiny"}])
    with pytest.raises(CheckpointError, match=r"no folder .*absent; s3://weights/tiny: no store"):
        ensure(card, models)


def test_the_store_is_asked_through_the_given_fetcher(cards: Cards, models: Path) -> None:
    asked: list[str] = []

    def fetch(address: str, folder: Path) -> None:
        asked.append(address)
        write_files(folder, FILES)

    ensure(cards.card(files=pins(), sources=[{"s3": "s3://weights/tiny"}]), models, fetch_s3=fetch)
    assert asked == ["s3://weights/tiny"]


def test_a_card_without_pins_is_locked_by_its_first_pull(cards: Cards, models: Path) -> None:
    cards.finished()
    ensure(cards.card(), models)
    locked = json.loads((cards.directory / "models.lock.json").read_text())
    entry = locked["checkpoints"]["tiny"]
    assert entry == {"source": "folder finished", "revision": None, "files": pins()}


def test_a_pull_that_differs_from_the_lock_is_refused(cards: Cards, models: Path, tmp_path: Path) -> None:
    cards.finished()
    card = cards.card()
    ensure(card, models)
    cards.finished(CHANGED)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: has sha256"):
        ensure(card, tmp_path / "elsewhere")


def test_a_card_with_pins_leaves_the_lock_alone(cards: Cards, models: Path) -> None:
    cards.finished()
    ensure(cards.card(files=pins()), models)
    assert not (cards.directory / "models.lock.json").exists()


def test_an_unusable_lock_file_is_named(cards: Cards, models: Path) -> None:
    cards.finished()
    write_files(cards.directory, {"models.lock.json": b"{"})
    with pytest.raises(CheckpointError, match=r"models\.lock\.json"):
        ensure(cards.card(), models)


def test_files_are_readable_by_other_users(cards: Cards, models: Path) -> None:
    (cards.finished() / "config.json").chmod(0o600)
    checkpoint = ensure(cards.card(files=pins()), models)
    assert (checkpoint.folder / "config.json").stat().st_mode & 0o777 == 0o644


def test_what_a_killed_pull_left_behind_is_cleared(cards: Cards, models: Path) -> None:
    cards.finished()
    write_files(models / ".tiny@left", FILES)
    ensure(cards.card(files=pins()), models)
    assert not (models / ".tiny@left").exists()


def test_two_processes_at_once_get_one_folder(cards: Cards, models: Path) -> None:
    cards.finished({**FILES, "vocabulary.txt": b"x" * 20_000_000})
    folder = cards.card().folder
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [context.Process(target=ensure_in_a_process, args=(folder, models, answers)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    (one, one_got_it), (other, other_got_it) = answers.get(timeout=5), answers.get(timeout=5)
    assert one == other
    assert one_got_it != other_got_it
    assert verify(read_card(folder), models / "tiny", lock_of(cards)) == []
    assert sorted(path.name for path in models.iterdir()) == [".tiny.lock", "tiny"]


def test_a_checkpoint_that_nobody_pinned_is_unverified(cards: Cards, models: Path) -> None:
    write_files(models / "tiny", FILES)
    assert standing(cards.card(), models, lock_of(cards)).state == "unverified"


def test_a_checkpoint_stands_as_what_is_on_disk(cards: Cards, models: Path) -> None:
    card = cards.card(files=pins())
    assert standing(card, models, lock_of(cards)).state == "not pulled"
    write_files(models / "tiny", FILES)
    ready = standing(card, models, lock_of(cards))
    assert (ready.state, ready.size) == ("ready", sum(len(content) for content in FILES.values()))
    write_files(models / "tiny", {"config.json": b"{}"})
    assert standing(card, models, lock_of(cards)).state == "damaged"
