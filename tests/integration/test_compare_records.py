"""What stored records give a comparison: a shadow's scores, and texts and frames to ask again, on a real S3 server."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image

from pipelines.comparison.report import Comparison
from pipelines.items import CheckpointRef
from pipelines.manifest import FrameRef
from pipelines.record import FrameObservation, Record, Shadow, TextObservation
from tests.records import CHECKPOINTS, START, chat_line, record
from workers.cli.main import cli
from workers.comparison.asked import NothingThere, Stretch, of_segments
from workers.comparison.shadows import shadowed
from workers.config import Config
from workers.records import write_record
from workers.registry.slots import Move, Named, SlotFilling
from workers.registry.store import State, write_move
from workers.stack.connection import environment_of
from workers.storage import Storage

TRIED = CheckpointRef(id="xlmr-toxicity", digest="d" * 64, session="torch")
ANYWHERE = Stretch()


def shadow_of(*scores: float | None, checkpoint: CheckpointRef = TRIED) -> Shadow:
    said = tuple(None if score is None else {"scam": score} for score in scores)
    return Shadow(checkpoint=checkpoint, texts=said, left_out=sum(score is None for score in scores))


def with_shadow(index: int, texts: Sequence[TextObservation], shadow: Shadow | None) -> Record:
    plain = record(index, texts=texts)
    return plain.model_copy(update={"shadow": {"text.risk": shadow}} if shadow else {})


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 24), "green").save(buffer, "PNG")
    return buffer.getvalue()


def test_the_pairs_of_a_shadow_are_aligned_with_the_texts(storage: Storage) -> None:
    texts = [chat_line("first", scam=0.9), chat_line("second", scam=0.1), chat_line("third", scam=0.2)]
    write_record(storage, with_shadow(0, texts, shadow_of(0.2, 0.1, None)))
    write_record(storage, with_shadow(1, texts, None))

    found = shadowed(storage, "text.risk", ANYWHERE, most=100)

    assert (found.old, found.new) == (CHECKPOINTS["text.risk"], TRIED)
    assert [(pair.old, pair.new) for pair in found.pairs] == [
        ({"scam": 0.9}, {"scam": 0.2}),
        ({"scam": 0.1}, {"scam": 0.1}),
        ({"scam": 0.2}, None),
    ]
    assert {(pair.where, pair.text) for pair in found.pairs} == {("chat at 4.0 s", None)}
    assert found.source == "the shadow of text.risk in 1 of 2 recorded segments"


def test_a_shadow_that_answered_nothing_in_time_still_counts_its_items(storage: Storage) -> None:
    write_record(
        storage, with_shadow(0, [chat_line("first"), chat_line("second")], Shadow(checkpoint=TRIED, left_out=2))
    )

    assert [pair.new for pair in shadowed(storage, "text.risk", ANYWHERE, most=100).pairs] == [None, None]


def test_shadows_of_another_checkpoint_are_left_out_and_told(storage: Storage) -> None:
    other = CheckpointRef(id="xlmr-toxicity", digest="e" * 64, session="torch")
    for index in range(3):
        write_record(storage, with_shadow(index, [chat_line("line")], shadow_of(0.5)))
    write_record(storage, with_shadow(3, [chat_line("line")], shadow_of(0.5, checkpoint=other)))

    found = shadowed(storage, "text.risk", ANYWHERE, most=100)

    assert (found.new.digest, len(found.pairs)) == (TRIED.digest, 3)
    assert found.left_out == {"of other checkpoints": 1}


def test_without_a_shadow_there_is_nothing_to_compare(storage: Storage) -> None:
    write_record(storage, record(texts=[chat_line("line")]))

    with pytest.raises(NothingThere, match=r"^text\.risk: none of 1 recorded segments there has a shadow that fits$"):
        shadowed(storage, "text.risk", ANYWHERE, most=100)


def test_stored_texts_are_asked_as_they_were_and_without_their_scores(storage: Storage) -> None:
    write_record(storage, record(texts=[chat_line("Hello"), chat_line("你好")]))

    found = of_segments(storage, "text.risk", ANYWHERE, most=100)

    questions = [item.question for item in found.items]
    assert [(one.normalised, one.scores) for one in questions if isinstance(one, TextObservation)] == [
        ("hello", {}),
        ("你好", {}),
    ]
    assert found.source == "2 texts of 1 recorded segments"


def test_stored_frames_are_fetched_but_for_those_that_repeat_another(storage: Storage) -> None:
    seen = [FrameObservation(at_s=0.0), FrameObservation(at_s=2.0, reused_from_s=0.0), FrameObservation(at_s=4.0)]
    media = tuple(FrameRef(at_s=at, key=f"media/{at:g}.png") for at in (0.0, 2.0, 4.0))
    write_record(storage, record(frames=seen).model_copy(update={"media": media}))
    storage.put("media/0.png", png())

    found = of_segments(storage, "vision.nudity", ANYWHERE, most=100)

    assert [(item.where, item.question) for item in found.items] == [("frame at 0.0 s", png())]
    assert found.left_out == {"frames no longer in the store": 1}


def test_no_more_items_are_taken_than_asked_for(storage: Storage) -> None:
    for index in range(3):
        write_record(storage, record(index, texts=[chat_line("one"), chat_line("two")]))

    assert len(of_segments(storage, "text.risk", ANYWHERE, most=3).items) == 3


def call(config: Config, folder: Path, *arguments: str) -> Result:
    settings = folder / "settings.yaml"
    settings.write_text(yaml.safe_dump({"state_directory": str(config.state_directory)}), encoding="utf-8")
    return CliRunner(env=environment_of(config)).invoke(cli, ["--config", str(settings), "models", *arguments])


def test_the_command_compares_what_a_shadow_said(storage: Storage, config: Config, tmp_path: Path) -> None:
    tried = CheckpointRef(id="e5-small-risk", digest="d" * 64, session="torch")
    texts = [chat_line("first", scam=0.99), chat_line("second", scam=0.01)]
    write_record(storage, with_shadow(0, texts, shadow_of(0.01, 0.01, checkpoint=tried)))

    page = tmp_path / "page.html"
    result = call(config, tmp_path, "compare", "--shadow", "text.risk", "--json", "--html", str(page))

    assert result.exit_code == 0, result.output
    found = Comparison.model_validate_json(result.stdout)
    flags = {one.policy: one.flags for one in found.policies if one.flags.items}
    assert list(flags) == ["scam"]
    assert (flags["scam"].only_old, flags["scam"].neither) == (1, 1)
    assert json.loads(result.stdout)["old"]["cost"] is None
    assert "Not measured: the scores were stored" in page.read_text(encoding="utf-8")


def test_a_stretch_without_records_is_nothing_found(storage: Storage, config: Config, tmp_path: Path) -> None:
    write_record(storage, with_shadow(0, [chat_line("line")], shadow_of(0.5)))

    result = call(config, tmp_path, "compare", "--shadow", "text.risk", "--since", "2026-03-11")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("liverisk: text.risk: none of 0 recorded segments")


def test_an_evaluation_is_against_what_the_registry_says(storage: Storage, config: Config, tmp_path: Path) -> None:
    active = SlotFilling(active=Named(id="xlmr-toxicity", digest="d" * 64))
    move = Move(version=1, at=START, who="a test", step="promote", slot="text.risk", before=None, after=active)
    write_move(storage, State(), move)

    result = call(config, tmp_path, "eval", "e5-small-risk", "--slot", "text.risk", "--dry-run")

    assert result.stdout == "would hold e5-small-risk against xlmr-toxicity on golden examples\n"
