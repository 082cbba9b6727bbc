"""What `liverisk score` concludes of one item, with models that are plain functions."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pipelines.cards import Label
from pipelines.coverage import MISSING_OBJECT, MODEL_FAILED
from pipelines.decode import InProcess
from pipelines.items import CheckpointRef, Failure, Item, Line, Result, Scores, ScreenLine, ScreenText, Span, Transcript
from pipelines.media import DecodeError
from pipelines.policies import read_policies
from pipelines.segment import ExaminationSettings
from pipelines.text.lexicon import Lexicon
from pipelines.text.lexicon_file import Entries, Entry
from workers.cli.main import cli
from workers.cli.score import _readable
from workers.score import Folder, NoModels, Scorer, TooLong, unexamined
from workers.storage import ObjectMissing

LABELS = {
    "scam": Label(policies=("scam",)),
    "lure": Label(policies=("scam", "minor_safety")),
    "nsfw": Label(policies=("sexual",)),
    "sfw": Label(),
}


ADD_ME = Entry(policy="scam", language="zh", term="加微信", variants=("加薇",), strength=0.6, sounds=True)
BETTING = Entry(policy="gambling", language="zh", term="博彩", strength=0.7, sounds=True)
TERMS = Lexicon(Entries(entries=(ADD_ME, BETTING)))


def judge(item: Item) -> Result:
    """Lines with money in them are scams."""
    assert isinstance(item, Line)
    if "broken" in item.text:
        return Failure(error="ModelBroke")
    return Scores(labels={"scam": 0.9 if "money" in item.text else 0.1, "lure": 0.3})


class Functions:
    """`Models` out of one function a slot."""

    def __init__(self, answers: Mapping[str, Callable[[Item], Result]]) -> None:
        self._answers = answers

    @property
    def checkpoints(self) -> Mapping[str, CheckpointRef]:
        return {name: CheckpointRef(id="function", digest="0" * 64, session="none") for name in self._answers}

    def ask(self, slot: str, items: Sequence[Item]) -> Sequence[Result]:
        return [self._answers[slot](item) for item in items]


def scorer(**answers: Callable[[Item], Result]) -> Scorer:
    named = {"text.risk": judge, **{name.replace("__", "."): answer for name, answer in answers.items()}}
    return Scorer(Functions(named), {"function": LABELS}, read_policies(), ExaminationSettings(), TERMS, InProcess())


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48)).save(buffer, "PNG")
    return buffer.getvalue()


def wav(duration_s: float = 1.0) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.zeros(round(duration_s * 16_000), np.int16).tobytes())
    return buffer.getvalue()


def says(text: str) -> Callable[[Item], Result]:
    span = Span(start_s=0, end_s=1, text=text, confidence=0.8, no_speech=0.1, compression=1.1)
    return lambda item: Transcript(language="zh", language_probability=0.9, spans=(span,), speech_s=1.0)


def test_a_policy_s_probability_is_that_of_its_strongest_label() -> None:
    found = next(iter(scorer().texts(["send money"])))
    assert found.policies == {"minor_safety": 0.3, "scam": 0.9}


def test_texts_keep_their_order_whatever_their_number() -> None:
    texts = [f"line {number}" for number in range(600)]
    assert [found.text for found in scorer().texts(texts)] == texts


def test_the_original_text_stays_beside_its_normalised_form() -> None:
    found = next(iter(scorer().texts(["ＳＥＮＤ 臺灣"])))
    assert (found.text, found.normalised, found.language) == ("ＳＥＮＤ 臺灣", "send 台湾", "zh")


def test_a_text_that_could_not_be_scored_has_no_policies_and_says_why() -> None:
    good, bad = scorer().texts(["money", "broken"])
    assert good.policies is not None
    assert (bad.policies, bad.error) == (None, "ModelBroke")


def test_an_image_is_judged_by_its_pixels_and_by_what_is_written_on_it() -> None:
    line = ScreenLine(text="MONEY", confidence=0.9, box=(0.1, 0.1, 0.9, 0.2))
    found = scorer(
        vision__nudity=lambda item: Scores(labels={"nsfw": 0.2, "sfw": 0.8}), ocr=lambda item: ScreenText(lines=(line,))
    ).image(png())
    assert found.policies == {"sexual": 0.2, "minor_safety": 0.3, "scam": 0.9}
    assert [(text.text, text.normalised) for text in found.screen] == [("MONEY", "money")]


def test_an_image_whose_model_failed_has_no_policies() -> None:
    found = scorer(vision__nudity=lambda item: Failure(error="Broke"), ocr=lambda item: ScreenText(lines=())).image(
        png()
    )
    assert (found.policies, found.error) == (None, "Broke")
    assert unexamined(found.coverage) == {"frames": MODEL_FAILED}


def test_audio_gives_the_transcript_for_readers_of_simplified_characters() -> None:
    found = scorer(speech=says("殺自己的腳！")).audio(wav())
    assert (found.transcript, found.normalised, found.language) == ("杀自己的脚！", "杀自己的脚!", "zh")
    assert [span.policies for span in found.spans] == [found.policies]


def test_audio_that_could_not_be_heard_has_no_policies() -> None:
    found = scorer(speech=lambda item: Failure(error="Broke")).audio(wav())
    assert (found.policies, found.error, found.spans) == (None, "Broke", ())


def test_bytes_that_are_no_media_are_refused() -> None:
    with pytest.raises(DecodeError):
        scorer().image(b"not an image")
    with pytest.raises(DecodeError):
        scorer().audio(b"not audio")


def test_too_long_audio_is_refused_and_not_cut_silently() -> None:
    with pytest.raises(TooLong, match="longer than 600 s"):
        scorer(speech=says("hello")).audio(wav(601))


def manifest(folder: Path, **fields: object) -> Path:
    path = folder / "manifest.json"
    known = {"schema": "liverisk.segment", "version": 1, "stream_id": "room", "segment_id": "s1"}
    path.write_text(json.dumps({**known, "captured_at": "2026-01-01T00:00:00Z", "duration_s": 10, **fields}))
    return path


def test_a_manifest_is_examined_with_the_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "frame.png").write_bytes(png())
    path = manifest(
        tmp_path,
        frames=[{"at_s": 0, "key": "frame.png"}, {"at_s": 2, "key": "absent.png"}],
        chat=[{"at_s": 1, "user": "u", "text": "send money"}],
    )
    found = scorer(
        vision__nudity=lambda item: Scores(labels={"nsfw": 0.1, "sfw": 0.9}), ocr=lambda item: ScreenText(lines=())
    ).manifest(path)
    assert len(found.verdicts) == len(found.policies) == 12
    assert found.policies["scam"] > 0.5 > found.policies["sexual"]
    assert unexamined(found.coverage)["frames"] == MISSING_OBJECT


@pytest.mark.parametrize("key", ["a/../../secret", "link", "absent"])
def test_a_manifest_reaches_nothing_outside_its_folder(key: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    folder = tmp_path / "segment"
    (folder / "a").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ObjectMissing):
        Folder(folder).get(key)


@pytest.mark.parametrize("arguments", [[], ["--text", "a", "--text", "b", "--audio", __file__]])
def test_exactly_one_item_must_be_named(arguments: list[str]) -> None:
    done = CliRunner().invoke(cli, ["score", *arguments])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)


def test_a_file_without_text_is_nothing_found(tmp_path: Path) -> None:
    (tmp_path / "lines.txt").write_text("\n \n")
    done = CliRunner().invoke(cli, ["score", "--lines", str(tmp_path / "lines.txt")])
    assert (done.exit_code, "no text" in done.output) == (1, True)


def test_a_lexicons_terms_are_shown_with_what_stands_for_them_and_whether_they_count() -> None:
    found = next(iter(scorer().texts(["加薇 聊菠菜"])))
    assert [(one.term, one.surface, one.chain, one.counts) for one in found.terms] == [
        ("加微信", "加薇", ("variant",), True),
        ("博彩", "菠菜", ("sound",), False),
    ]
    assert found.policies == {"minor_safety": 0.3, "scam": 0.7675}, "the model agrees with the term, which adds to it"
    assert list(_readable(found))[1:] == [
        "  “加薇” = 加微信 (variant): scam 0.6",
        "  “菠菜” = 博彩 (sound): gambling, not counted: it needs context",
    ]


def test_a_term_without_steps_says_so_in_json() -> None:
    found = next(iter(scorer().texts(["加微信"])))
    assert json.loads(found.model_dump_json())["terms"][0]["chain"] == []


def test_lines_of_a_file_are_no_context_for_one_another() -> None:
    calm = scorer(text__risk=lambda item: Scores(labels={"scam": 0.01}))
    _, second = calm.texts(["加微信", "jia wei xin"])
    assert [one.counts for one in second.terms] == [False]


def test_without_a_model_the_lexicon_speaks_alone() -> None:
    alone = Scorer(NoModels(), {}, read_policies(), ExaminationSettings(), TERMS)
    said, silent = alone.texts(["加微信", "你好"])
    assert (said.policies, silent.policies) == ({"scam": 0.6}, {})


def test_what_is_said_before_gives_context_and_terms_lie_in_the_transcript() -> None:
    spans = tuple(
        Span(start_s=at, end_s=at + 1, text=text, confidence=0.8, no_speech=0.1, compression=1.1)
        for at, text in ((0, "今天推荐"), (1, "博彩平台"))
    )
    heard = Transcript(language="zh", language_probability=0.9, spans=spans, speech_s=2.0)
    found = scorer(speech=lambda item: heard).audio(wav(2))
    (term,) = found.terms
    assert found.transcript[term.start : term.end] == term.surface == "博彩"
    assert found.policies is not None
    assert found.policies["gambling"] == 0.7


def test_leaving_out_models_and_lexicons_at_once_is_wrong_usage() -> None:
    done = CliRunner().invoke(cli, ["score", "--text", "a", "--no-lexicon", "--no-model"])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)


def test_the_lexicons_are_read_without_any_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scam.zh.yaml").write_text(
        "policy: scam\nlanguage: zh\nowner: me\nterms: [{ term: 加微信, strength: 0.6 }]\n", encoding="utf-8"
    )
    monkeypatch.setenv("LIVERISK__LEXICONS_DIRECTORY", str(tmp_path))
    done = CliRunner().invoke(cli, ["score", "--text", "加 微 信", "--no-model", "--json"])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["terms"][0]["term"] == "加微信"
    (tmp_path / "scam.zh.yaml").write_text("terms: [")
    broken = CliRunner().invoke(cli, ["score", "--text", "加 微 信", "--no-model"])
    assert (broken.exit_code, broken.output.count("\n")) == (2, 1)
