"""Shipped file < running stack < chosen file < environment; a mistake is one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.config import Config, ConfigError, load_config


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """An environment whose state directory is the test's own, so that no running stack is found."""
    return {"LIVERISK__STATE_DIRECTORY": str(tmp_path / "state")}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_the_shipped_settings_fill_every_embedded_slot(state: dict[str, str]) -> None:
    assert set(load_config(environment=state).slots) == {"vision.nudity", "speech", "ocr", "text.risk"}


def test_each_layer_overrides_single_keys_of_the_one_below(tmp_path: Path, state: dict[str, str]) -> None:
    written(tmp_path / "state" / "connection.yaml", "broker: {url: redis://stack}\nstore: {bucket: from-stack}")
    chosen = written(tmp_path / "mine.yaml", "store: {bucket: from-file, region: eu-1}")
    merged = load_config(chosen, {**state, "LIVERISK__STORE__REGION": "from-env"})
    assert merged.broker.url is not None
    assert merged.broker.url.get_secret_value() == "redis://stack"
    assert (merged.store.bucket, merged.store.region) == ("from-file", "from-env")
    assert merged.slots


def test_the_environment_reads_numbers_and_lists(state: dict[str, str]) -> None:
    worker = load_config(
        environment={**state, "LIVERISK__WORKER__CONCURRENCY": "7", "LIVERISK__WORKER__LANES": "[live]"}
    ).worker
    assert (worker.concurrency, worker.lanes) == (7, ("live",))


def test_secrets_of_digits_stay_text(state: dict[str, str]) -> None:
    merged = load_config(environment={**state, "LIVERISK__STORE__SECRET_KEY": "0123"})
    assert merged.store.secret_key is not None
    assert merged.store.secret_key.get_secret_value() == "0123"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("worker: {concurency: 2}", "worker.concurency"),
        ("worker: {concurrency: 0}", "worker.concurrency"),
        ("worker: {deadline_s: 50}", "deadline_s < soft_time_limit_s < time_limit_s"),
        ("broker: {visibility_timeout_s: 30}", "visibility_timeout_s"),
        ("broker: {visibility_timeout_s: 59}", "set broker.visibility_timeout_s to twice worker.deadline_s"),
        ("broker: {url: 'kafka://localhost'}", "kafka:// is no broker for this pool"),
        ("broker: {url: 'amqp://localhost'}", "set state.url to a redis:// or rediss:// address"),
        ("broker: {delivery_limit: 4}", "broker.delivery_limit must exceed worker.max_attempts"),
        ("state: {url: 'amqp://localhost'}", "amqp:// keeps no state"),
        ("state: {url: 'redis://h', tls: {ca: ca.pem}}", "write rediss://"),
        ("broker: {url: 'rediss://h', tls: {key: key.pem}}", "certificate and key belong together"),
        ("worker: {prefetch: 2}", "worker.prefetch: Value error, must be 1"),
        ("- a list", "must be a mapping"),
        ("a: [", "unreadable"),
        ("a: 2026-13-45", "unreadable"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_its_place(
    text: str, line: str, tmp_path: Path, state: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path / "mine.yaml", text), state)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"STATE_DIRECTORY": "5"}, "state_directory: "),
        ({"STATE_DIRECTORY": "x" * 300}, "state_directory: "),
        ({"BROKER": "x", "BROKER__URL": "redis://h"}, "LIVERISK__BROKER__URL: LIVERISK__BROKER is set too"),
        ({"BROKER__URL": "redis://h", "BROKER": ""}, "LIVERISK__BROKER__URL: LIVERISK__BROKER is set too"),
        ({"WORKER__CONCURRENCY": "2026-13-45"}, "LIVERISK__WORKER__CONCURRENCY: "),
    ],
)
def test_a_mistake_in_the_environment_is_told_in_one_line(
    variables: dict[str, str], line: str, state: dict[str, str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(environment=state | {f"LIVERISK__{name}": value for name, value in variables.items()})
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_part_and_one_of_its_settings_may_both_be_in_the_environment(turn: int, state: dict[str, str]) -> None:
    variables = {"LIVERISK__BROKER": "{socket_timeout_s: 3}", "LIVERISK__BROKER__URL": "redis://h"}
    broker = load_config(environment=state | dict(list(variables.items())[::turn])).broker
    assert broker.url is not None
    assert (broker.url.get_secret_value(), broker.socket_timeout_s) == ("redis://h", 3)


def test_a_file_that_is_no_text_is_told_in_one_line(tmp_path: Path, state: dict[str, str]) -> None:
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="unreadable"):
        load_config(tmp_path / "mine.yaml", state)


def test_no_secret_is_ever_printed() -> None:
    merged = Config.model_validate(
        {
            "broker": {"url": "amqp://u:hidden@h"},
            "state": {"url": "redis://:hidden@h"},
            "store": {"secret_key": "hidden"},
            "engine": {"key": "hidden"},
        }
    )
    assert "hidden" not in f"{merged!r} {merged} {merged.model_dump_json()} {merged.model_dump(mode='json')}"


def test_state_lies_at_the_broker_unless_it_has_a_place_of_its_own_or_the_broker_keeps_none() -> None:
    def place(**settings: dict[str, str]) -> str | None:
        url = Config.model_validate(settings).state_url
        return url.get_secret_value() if url else None

    assert place() is None
    assert place(broker={"url": "redis://a"}) == "redis://a"
    assert place(broker={"url": "redis://a"}, state={"url": "redis://b"}) == "redis://b"
    assert place(broker={"url": "amqp://a"}, state={"url": "redis://b"}) == "redis://b"
