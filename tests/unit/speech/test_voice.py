from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.cards import CardError
from pipelines.items import Clip, Failure, Transcript
from pipelines.kinds import load
from pipelines.models import Model, at_a_time
from pipelines.speech.transformers_whisper import windows_of
from pipelines.speech.voice import voiced_s
from tests import tiny_checkpoints as tiny
from tests import tiny_speech

RNG = np.random.default_rng(0)
TIME = np.arange(5 * 16_000) / 16_000
UNSPOKEN = {
    "silence": np.zeros(5 * 16_000, np.float32),
    "noise": RNG.normal(0, 0.1, 5 * 16_000).astype(np.float32),
    "a tone": (0.3 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32),
}


@pytest.fixture(scope="module", params=["ctranslate2", "torch"])
def whisper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("whisper")
    (tiny_speech.whisper if request.param == "torch" else tiny_speech.converted_whisper)(folder)
    return load(tiny.card_of("whisper", (request.param,)), folder, device="cpu", threads=1)


@pytest.mark.parametrize("samples", UNSPOKEN.values(), ids=UNSPOKEN.keys())
def test_where_nobody_speaks_there_are_no_spans(whisper: Model, samples: NDArray[np.float32]) -> None:
    nothing = Transcript(language=None, language_probability=0.0, spans=(), speech_s=0.0)
    assert whisper.predict([Clip(samples)]) == [nothing]


def test_a_voice_passes_the_gate_and_says_how_long_it_lasts(whisper: Model) -> None:
    heard = whisper.predict([Clip(tiny_speech.voice(2.0))])[0]
    assert isinstance(heard, Transcript)
    assert heard.speech_s == pytest.approx(2.0, abs=0.5)


def test_spans_stay_within_the_clip(whisper: Model) -> None:
    heard = whisper.predict([Clip(tiny_speech.voice(2.0))])[0]
    assert isinstance(heard, Transcript)
    assert all(0 <= span.start_s <= span.end_s <= 2.0 for span in heard.spans)


def test_a_clip_can_ask_for_a_wider_beam(whisper: Model) -> None:
    voice = tiny_speech.voice(1.5)
    own, narrow, wide = whisper.predict([Clip(voice, "en"), Clip(voice, "en", 1), Clip(voice, "en", 5)])
    assert own == narrow != wide
    assert isinstance(wide, Transcript)
    assert all(0 < span.confidence <= 1 for span in wide.spans)


def test_a_given_language_is_taken_as_it_is(whisper: Model) -> None:
    heard = whisper.predict([Clip(tiny_speech.voice(1.5), language="zh")])[0]
    assert isinstance(heard, Transcript)
    assert (heard.language, heard.language_probability) == ("zh", 1.0)


def test_a_language_that_whisper_does_not_know_is_detected_instead(whisper: Model) -> None:
    heard = whisper.predict([Clip(tiny_speech.voice(1.5), language="xx")])[0]
    assert isinstance(heard, Transcript)
    assert heard.language in tiny_speech.SPEECH_LANGUAGES


@pytest.mark.parametrize(
    ("samples", "error"),
    [(np.zeros(0, np.float32), "EmptyClip"), (np.full(16_000, np.nan, np.float32), "NonFiniteSamples")],
)
def test_an_unusable_clip_is_a_failure_and_not_silence(
    whisper: Model, samples: NDArray[np.float32], error: str
) -> None:
    assert whisper.predict([Clip(samples)]) == [Failure(error=error)]


def test_clips_heard_side_by_side_are_heard_as_one_after_the_other(tmp_path: Path) -> None:
    tiny_speech.converted_whisper(tmp_path)
    whisper = load(tiny.card_of("whisper", ("ctranslate2",)), tmp_path, device="cpu", threads=1)
    assert at_a_time(whisper) == (os.cpu_count() or 1)
    clips = [Clip(tiny_speech.voice(0.8 + 0.3 * number), "en") for number in range(6)]
    alone = [whisper.predict([clip])[0] for clip in clips]
    with ThreadPoolExecutor(at_a_time(whisper)) as lanes:
        assert list(lanes.map(lambda clip: whisper.predict([clip])[0], clips)) == alone


def test_what_comes_after_a_pause_has_the_times_of_the_whole_clip(whisper: Model) -> None:
    pause = np.zeros(3 * 16_000, np.float32)
    heard = whisper.predict([Clip(np.concatenate([pause, tiny_speech.voice(1.5)]), "en")])[0]
    assert isinstance(heard, Transcript)
    assert heard.spans
    assert all(2 <= span.start_s <= span.end_s <= 4.5 for span in heard.spans)
    assert heard.speech_s < 2.5


def test_a_long_pause_parts_two_stretches_of_voice() -> None:
    pause = np.zeros(3 * 16_000, np.float32)
    stretches = voiced_s(Clip(np.concatenate([tiny_speech.voice(2.0), pause, tiny_speech.voice(2.0)])))
    assert len(stretches) == 2
    assert stretches[0][1] < 3.5 < stretches[1][0]


def test_stretches_are_joined_while_they_fit_one_window() -> None:
    assert windows_of([(0.0, 5.0), (6.0, 20.0), (25.0, 40.0)]) == [(0.0, 20.0), (25.0, 40.0)]


def test_a_folder_without_a_tokenizer_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    tiny_speech.converted_whisper(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(CardError, match=r"lacks tokenizer\.json"):
        load(tiny.card_of("whisper", ("ctranslate2",)), tmp_path, device="cpu")
