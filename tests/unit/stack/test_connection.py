"""What a pool's parent hands to its children."""

from __future__ import annotations

import stat
from pathlib import Path

from pydantic import SecretStr

from workers.config import Broker, Config, Store, Worker, load_config
from workers.stack.connection import environment_of, write_settings


def changed(state_directory: Path) -> Config:
    """Settings that no file and no variable of the environment has."""
    return load_config(environment={}).model_copy(
        update={
            "worker": Worker(deadline_s=33),
            "broker": Broker(url=SecretStr("redis://:word@127.0.0.1:1/0"), visibility_timeout_s=200),
            "store": Store(
                endpoint_url="http://127.0.0.1:2", access_key=SecretStr("key"), secret_key=SecretStr("word")
            ),
            "state_directory": state_directory,
        }
    )


def test_children_load_the_settings_that_their_parent_has(tmp_path: Path) -> None:
    config = changed(tmp_path)
    assert load_config(write_settings(config), environment_of(config)) == config


def test_children_keep_the_keys_that_are_no_places_and_none_of_their_parents_files(tmp_path: Path) -> None:
    (tmp_path / "word").write_text("of another store")
    kept = {"engine": {"key": "between-hosts"}, "privacy": {"user_key": "names-of-all-the-users"}}
    config = Config.model_validate({**changed(tmp_path).model_dump(exclude={"engine", "privacy"}), **kept})
    parents = {"LIVERISK__STORE__SECRET_KEY_FILE": str(tmp_path / "word"), "LIVERISK__STORE__SESSION_TOKEN": "another"}
    assert load_config(write_settings(config), {**parents, **environment_of(config)}) == config


def test_the_settings_for_children_hold_no_password_and_are_private(tmp_path: Path) -> None:
    path = write_settings(changed(tmp_path))
    assert "word" not in path.read_text(encoding="utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
