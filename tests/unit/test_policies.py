from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.policies import POLICIES_FILE, POLICY_IDS, PolicyError, Thresholds, read_policies

Change = Callable[[dict[str, Any]], object]


def refusal(folder: Path, change: Change) -> str:
    """What is said of the shipped policies after a change."""
    content = yaml.safe_load(POLICIES_FILE.read_text(encoding="utf-8"))
    change(content)
    path = folder / "policies.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(PolicyError) as caught:
        read_policies(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_the_shipped_policies_are_the_twelve() -> None:
    assert set(read_policies().policies) == set(POLICY_IDS)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda c: c.update(policy={}), "policy: "),
        (lambda c: c["fusion"].update(coroboration=1), "fusion.coroboration: "),
        (lambda c: c["policies"]["scam"].update(treshold=1), "policies.scam.treshold: "),
        (lambda c: c["policies"]["scam"]["thresholds"].update(revue=0.5), "policies.scam.thresholds.revue: "),
        (lambda c: c["policies"]["scam"]["weights"].update(chats=1), "policies.scam.weights.chats"),
        (lambda c: c["policies"]["scam"]["persistence"].update(hit=1), "policies.scam.persistence.hit: "),
    ],
)
def test_a_misspelt_key_is_named_with_its_path(tmp_path: Path, change: Change, place: str) -> None:
    assert refusal(tmp_path, change).startswith(place)


def test_a_missing_policy_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"].pop("gambling"))
    assert message == "policies: Value error, missing gambling"


def test_an_unknown_policy_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"].update(gabling=content["policies"].pop("gambling")))
    assert message == "policies: Value error, unknown gabling; missing gambling"


def test_a_weight_left_out_is_named_rather_than_guessed(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"]["scam"]["weights"].pop("screen"))
    assert message.startswith("policies.scam.weights: ")
    assert "missing screen" in message


def test_a_policy_that_listens_to_nothing_is_refused(tmp_path: Path) -> None:
    deaf = dict.fromkeys(("frames", "speech", "screen", "chat"), 0)
    message = refusal(tmp_path, lambda content: content["policies"]["scam"].update(weights=deaf))
    assert "at least one modality must weigh more than 0" in message


def test_thresholds_out_of_order_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"]["hate"]["thresholds"].update(review=0.95))
    assert message.startswith("policies.hate.thresholds: ")
    assert "watch <= review <= act <= severe" in message


def test_a_hysteresis_that_never_lets_go_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"]["hate"]["persistence"].update(hysteresis=0.29))
    assert "a raised verdict never comes down" in message


def test_more_hits_than_segments_are_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, lambda content: content["policies"]["hate"]["persistence"].update(hits=9))
    assert "hits cannot exceed of" in message


@pytest.mark.parametrize("text", ["", "- a list", "policies: {scam: [}", "\x00"])
def test_a_file_that_is_no_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "policies.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError, match=r"policies\.yaml: (must be a mapping|unreadable)"):
        read_policies(path)


def test_a_file_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="unreadable"):
        read_policies(tmp_path / "absent.yaml")


def test_the_digest_changes_with_a_threshold_and_with_nothing_else(tmp_path: Path) -> None:
    content = yaml.safe_load(POLICIES_FILE.read_text(encoding="utf-8"))
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(yaml.safe_dump(content), encoding="utf-8")
    content["policies"]["scam"]["thresholds"]["review"] = 0.61
    other.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert read_policies(same).digest == read_policies().digest != read_policies(other).digest


@given(st.lists(st.floats(0.01, 0.99), min_size=4, max_size=4))
def test_thresholds_are_accepted_exactly_when_they_rise(values: list[float]) -> None:
    named = dict(zip(("watch", "review", "act", "severe"), values, strict=True))
    if values == sorted(values):
        Thresholds(**named)
        return
    with pytest.raises(ValidationError):
        Thresholds(**named)
