"""The committed stream, chat and list of planted risks belong together."""

from __future__ import annotations

import json
from itertools import pairwise

import av
import pytest
from pydantic import ValidationError

from pipelines.manifest import ChatLine
from workers.demo.programme import CHAT_FILE, STREAM_FILE, Programme, read_planted, read_programme

MAX_BYTES = 3_000_000


def chat() -> list[ChatLine]:
    return [ChatLine.model_validate_json(line) for line in CHAT_FILE.read_text(encoding="utf-8").splitlines()]


def test_the_stream_is_as_long_as_its_programme_and_small_enough_to_be_committed() -> None:
    with av.open(str(STREAM_FILE)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.width, video.height, audio.layout.name) == (640, 360, "mono")
        assert float(video.duration * video.time_base) == pytest.approx(read_programme().duration_s, abs=0.1)
        assert float(audio.duration * audio.time_base) == pytest.approx(read_programme().duration_s, abs=0.1)
    assert STREAM_FILE.stat().st_size <= MAX_BYTES


def test_what_was_planted_lies_within_the_programme() -> None:
    planted, programme = read_planted(), read_programme()
    assert planted.duration_s == programme.duration_s
    assert all(risk.to_s <= planted.duration_s for risk in planted.risks)


def test_benign_stretches_lie_before_between_and_after_the_planted_ones() -> None:
    planted = read_planted()
    seen_live = [risk for risk in planted.risks if not risk.deep]
    assert seen_live[0].from_s > 0
    assert all(after.from_s > before.to_s + before.settles_s for before, after in pairwise(seen_live))
    assert planted.risks[-1].to_s + planted.risks[-1].settles_s < planted.duration_s


def test_every_modality_that_should_show_a_risk_has_something_in_its_stretch() -> None:
    programme, lines = read_programme(), chat()
    for risk in read_planted().risks:
        has = {
            "chat": any(risk.from_s <= line.at_s < risk.to_s for line in lines),
            "speech": any(risk.from_s <= spoken.at_s < risk.to_s for spoken in programme.speech),
            "screen": any(scene.banner and scene.from_s == risk.from_s for scene in programme.scenes),
        }
        assert all(has[modality] for modality in risk.modalities), risk.policy


def test_chat_runs_in_order_and_ends_before_the_stream() -> None:
    times = [line.at_s for line in chat()]
    assert times == sorted(times)
    assert times[-1] < read_programme().duration_s


def test_chat_is_written_in_mandarin_english_and_spanish() -> None:
    texts = " ".join(line.text for line in chat())
    assert all(sample in texts for sample in ("菠菜炒鸡蛋", "love the panda", "qué rico"))


def test_chat_lines_have_only_the_keys_that_the_sampler_reads() -> None:
    for line in CHAT_FILE.read_text(encoding="utf-8").splitlines():
        assert json.loads(line).keys() == {"at_s", "user", "text"}


def test_a_programme_with_a_hole_between_scenes_is_refused() -> None:
    whole = read_programme()
    with pytest.raises(ValidationError, match="scenes must follow one another"):
        Programme(duration_s=whole.duration_s, scenes=whole.scenes[1:], speech=whole.speech)
