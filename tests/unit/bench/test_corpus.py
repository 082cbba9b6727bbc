"""The generated segments: the same for a seed, of the shapes they claim, and what any store would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipelines.decode import InProcess, decode_image
from pipelines.frames import without_near_duplicates
from pipelines.segment import ExaminationSettings, Segment
from workers.bench import speech
from workers.bench.corpus import OFFER_EVERY, SHAPES, Corpus, Shape, generate, planted, read_corpus, write_corpus
from workers.bench.pictures import HEIGHT, WIDTH, frame
from workers.fetch import fetch_segment

COUNT = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return write_corpus(folder, COUNT, seed=1)


def fetched(corpus: Corpus, shape: Shape, number: int = 0) -> Segment:
    return fetch_segment(corpus.segments[shape][number], corpus, decoder=InProcess(), max_side_px=640)


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = (next(iter(generate("quiet", 1, seed=3))) for _ in range(2))
    assert first == second


def test_another_seed_gives_other_media() -> None:
    first, second = (next(iter(generate("quiet", 1, seed=seed))) for seed in (3, 4))
    assert {stored.body for stored in first.objects}.isdisjoint(stored.body for stored in second.objects)


def test_frames_are_as_large_as_a_stream_sends_them() -> None:
    picture = decode_image(frame(1, 0.0, moves=True, caption="hello"), max_side_px=WIDTH)
    assert picture.pixels.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize(("shape", "looked_at"), [("busy", 5), ("quiet", 1)])
def test_a_busy_camera_moves_and_a_quiet_one_stands_still(corpus: Corpus, shape: Shape, looked_at: int) -> None:
    chosen = without_near_duplicates(fetched(corpus, shape).frames, ExaminationSettings())
    assert len(set(chosen.values())) == looked_at


def test_somebody_speaks_on_a_busy_stream_and_nobody_on_a_quiet_one(corpus: Corpus) -> None:
    loud = {
        shape: float(np.abs(audio).max()) for shape in SHAPES if (audio := fetched(corpus, shape).audio) is not None
    }
    assert loud["busy"] > 0.1
    assert loud["quiet"] < 0.01


def test_pauses_lie_between_the_sentences() -> None:
    track = speech.track(np.random.default_rng(0), 40, pauses_s=(1.0, 1.0))
    seconds = np.abs(track.astype(np.int32)).reshape(-1, 1600).max(axis=1)
    assert 0.1 < float((seconds < speech.SILENT).mean()) < 0.7


def test_a_flood_has_hundreds_of_lines_and_a_quiet_stream_hardly_any(corpus: Corpus) -> None:
    lines = {shape: len(fetched(corpus, shape).chat or ()) for shape in SHAPES}
    assert lines["flood"] >= 300
    assert lines["quiet"] < 5


def test_chat_comes_in_mandarin_and_english(corpus: Corpus) -> None:
    chat = " ".join(line.text for number in range(COUNT) for line in fetched(corpus, "busy", number).chat or ())
    assert any("\u4e00" <= letter <= "\u9fff" for letter in chat)
    assert any(letter in "abcdefgh" for letter in chat)


def test_offers_are_planted_in_every_shape_but_the_quiet_one() -> None:
    assert planted(OFFER_EVERY - 1, "busy")
    assert planted(OFFER_EVERY - 1, "flood")
    assert not any(planted(number, "quiet") for number in range(2 * OFFER_EVERY))


def test_another_process_reads_the_same_corpus(folder: Path, corpus: Corpus) -> None:
    assert read_corpus(folder) == corpus


def test_copies_are_segments_that_nobody_has_seen(corpus: Corpus) -> None:
    copies = corpus.copies("busy", 2 * COUNT + 1, "one")
    names = {(copy.stream_id, copy.segment_id) for copy in copies}
    assert len(names) == len(copies)
    assert names.isdisjoint((copy.stream_id, copy.segment_id) for copy in corpus.copies("busy", 3, "two"))
