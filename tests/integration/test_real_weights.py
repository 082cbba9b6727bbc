"""The checkpoints that install from the package index, with their real weights. The text head has a file of its own."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from pipelines.cards import CARDS_DIRECTORY, Session, read_card
from pipelines.checkpoints import ensure
from pipelines.decode import decode_audio, decode_image
from pipelines.examine import examine
from pipelines.frames import without_near_duplicates
from pipelines.items import Clip, Line, Picture, Scores, ScreenText, Transcript
from pipelines.kinds import load
from pipelines.models import Model
from pipelines.policies import read_policies
from pipelines.screen import examine_screen
from pipelines.segment import ExaminationSettings, Frame
from pipelines.text.normalise import normalise
from tests.benchmarks.benign_photos import pictures
from tests.functions import Functions, models, segment
from tests.wordless import KINDS
from workers.bench.speech import track
from workers.config import Config

DRAWN = Path(__file__).parents[1] / "data"


@cache
def model(checkpoint: str, session: Session) -> Model:
    """One copy for the whole file: loading takes seconds."""
    card = read_card(CARDS_DIRECTORY / checkpoint)
    loaded = load(card, ensure(card, Config().models).folder, session=session, device="cpu", threads=1)
    loaded.warm_up()
    return loaded


@pytest.fixture
def recordings(shared_data: Path) -> Path:
    return shared_data / "audio"


def photos() -> list[Picture]:
    """A temple and a flower."""
    from sklearn.datasets import load_sample_images

    return [Picture(np.ascontiguousarray(image)) for image in load_sample_images().images]


def nudity(session: Session) -> list[float]:
    results = model("open-nsfw", session).predict(photos())
    return [result.labels["nsfw"] for result in results if isinstance(result, Scores)]


def heard(path: Path) -> Transcript:
    samples = decode_audio(path.read_bytes(), max_s=60)
    result = model("whisper-base", "ctranslate2").predict([Clip(samples)])[0]
    assert isinstance(result, Transcript)
    return result


def read(picture: Picture) -> list[str]:
    result = model("pp-ocrv6", "onnx").predict([picture])[0]
    assert isinstance(result, ScreenText)
    return [line.text for line in result.lines]


@pytest.mark.parametrize("session", ["torch", "onnx", "onnx-int8"])
def test_photos_of_a_temple_and_a_flower_score_low_for_nudity(session: Session) -> None:
    scores = nudity(session)
    assert len(scores) == 2
    assert max(scores) < 0.05


def test_benign_pictures_their_crops_and_fields_of_skin_colour_stay_far_below_watch() -> None:
    label = read_card(CARDS_DIRECTORY / "open-nsfw").fields.labels["nsfw"]
    watch = read_policies(Config().policies_file).policies["sexual"].thresholds.watch
    results = model("open-nsfw", "onnx").predict([picture for _, picture in list(pictures([]))[::2]])
    scores = [label.calibration(result.labels["nsfw"]) for result in results if isinstance(result, Scores)]
    assert len(scores) == 17
    assert max(scores) < watch / 2


def test_torch_and_onnx_say_the_same_of_the_same_photo() -> None:
    assert nudity("torch") == pytest.approx(nudity("onnx"), abs=1e-6)
    assert nudity("torch") == pytest.approx(nudity("onnx-int8"), abs=0.02)


def test_english_speech_is_heard_word_for_word(recordings: Path) -> None:
    said = heard(recordings / "jfk.flac")
    words = re.findall(r"\w+", " ".join(span.text for span in said.spans).lower())
    expected = (
        "and so my fellow americans ask not what your country can do for you ask what you can do for your country"
    )
    assert (said.language, " ".join(words)) == ("en", expected)


def test_mandarin_speech_is_heard_but_for_one_of_five_characters(recordings: Path) -> None:
    said = heard(recordings / "chinese.flac")
    simplified = normalise("".join(span.text for span in said.spans)).text
    assert said.language == "zh"
    assert len(simplified) == 5
    assert sum(a == b for a, b in zip(simplified, "砸自己的脚", strict=True)) >= 4


def test_clips_are_heard_side_by_side_as_they_are_one_by_one() -> None:
    host = (track(np.random.default_rng(3), 12, pauses_s=(0.3, 0.6)) / 32768).astype(np.float32)
    clips = [Clip(part, "en") for part in np.split(host, 2)]
    hearer = model("whisper-base", "ctranslate2")
    together = hearer.predict(clips)
    assert together == [hearer.predict([clip])[0] for clip in clips]
    assert all(isinstance(result, Transcript) and result.spans for result in together)


@pytest.mark.parametrize("loudness", [0.0, 0.01, 0.3])
def test_silence_and_noise_hold_no_speech(loudness: float) -> None:
    noise = np.random.default_rng(0).normal(0, 1, 10 * 16_000).astype(np.float32) * np.float32(loudness)
    result = model("whisper-base", "ctranslate2").predict([Clip(noise)])[0]
    assert isinstance(result, Transcript)
    assert result.spans == ()


def test_what_is_written_for_a_tune_without_words_reaches_no_text_model() -> None:
    tune = np.asarray(KINDS["chanting"](5.0, np.random.default_rng(2)), np.float32)
    asked = models(speech=lambda item: model("whisper-base", "ctranslate2").predict([item])[0])
    what = replace(segment(audio_s=5.0), audio=tune / np.abs(tune).max())
    seen = examine(what, asked, ExaminationSettings()).observations
    assert (seen.texts, asked.asked["text.risk"]) == ((), [])
    assert seen.coverage["speech"].skipped["invented"] > 0


def test_chinese_and_latin_banners_are_read_exactly() -> None:
    picture = decode_image((DRAWN / "screen_text.png").read_bytes(), max_side_px=640)
    assert read(picture) == ["加微信领红包", "每天赚三千元", "Telegram 8888"]


def test_columns_stacked_letters_lines_that_run_upwards_and_hollow_letters_are_read_exactly() -> None:
    picture = decode_image((DRAWN / "screen_columns.png").read_bytes(), max_side_px=640)
    assert read(picture) == ["加微信领红包", "VX688", "add me on telegram", "全场五折"]


def test_a_ticker_is_read_as_one_sentence_over_the_frames_that_show_its_parts() -> None:
    strip = decode_image((DRAWN / "screen_ticker.png").read_bytes(), max_side_px=4000).pixels
    canvas = np.full((3, 360, 640, 3), 60, dtype=np.uint8)
    for picture, start in zip(canvas, (0, 300, 600), strict=True):
        picture[280:344] = strip[:, start : start + 640]
    frames = [Frame(2.0 * index, Picture(picture)) for index, picture in enumerate(canvas)]
    reader = Functions(ocr=lambda item: model("pp-ocrv6", "onnx").predict([item])[0])
    settings = ExaminationSettings()
    (text,), _ = examine_screen(frames, without_near_duplicates(frames, settings), reader, settings)
    assert text.text == "本直播间只送不卖关注主播加微信领取红包福利先到先得明天继续"
    assert text.repeats == 3


def test_latin_letters_of_a_plain_font_are_read() -> None:
    image = Image.new("RGB", (640, 360), (20, 60, 90))
    ImageDraw.Draw(image).text((80, 150), "send money first", fill="white", font=ImageFont.load_default(size=44))
    assert read(Picture(np.array(image))) == ["send money first"]


def test_photos_without_text_have_no_lines() -> None:
    flower = photos()[1]
    assert read(flower) == []


def test_a_scam_in_three_languages_stands_out_from_a_greeting() -> None:
    lines = [
        "加微信 保证每天赚三千",
        "guaranteed profit, send USDT first",
        "ganancia garantizada, envía USDT primero",
        "hello",
    ]
    results = model("e5-small-risk", "torch").predict([Line(normalise(line).text) for line in lines])
    scam = [result.labels["scam"] for result in results if isinstance(result, Scores)]
    assert min(scam[:3]) > 0.5 > scam[3]
