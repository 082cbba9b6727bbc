"""Secrets out of files: which layer wins, and what a file that is of no use is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, SecretStr

from workers.config import Config, ConfigError, load_config
from workers.layers import FROM_FILE, SECRETS


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    """An environment whose state directory is the test's own, so that no running stack is found."""
    return {"LIVERISK__STATE_DIRECTORY": str(tmp_path / "state")}


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


def shown(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def secrets_of(model: type[BaseModel], *path: str) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        if SecretStr in kinds:
            yield (*path, name)
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from secrets_of(kind, *path, name)


def test_every_secret_may_lie_in_a_file() -> None:
    found = set(secrets_of(Config))
    assert found - {("privacy", "user_key")} == set(SECRETS)
    assert all(f"{name}{FROM_FILE}" in Config.model_fields[part].annotation.model_fields for part, name in found)  # type: ignore[union-attr]


def test_a_secret_is_what_its_file_holds_without_the_line_end(tmp_path: Path, state: dict[str, str]) -> None:
    variables = dict(state)
    for number, (part, name) in enumerate(SECRETS):
        content = f"redis://:w0rd-{number}@h" if name == "url" else f"w0rd-{number}"
        file = written(tmp_path / f"secret-{number}", f"{content}\n")
        variables[f"LIVERISK__{part}__{name}_FILE".upper()] = str(file)
    merged = load_config(environment=variables)
    found = [shown(getattr(getattr(merged, part), name)) for part, name in SECRETS]
    assert all(f"w0rd-{number}" in str(value) for number, value in enumerate(found))
    assert "w0rd" not in f"{merged!r} {merged} {merged.model_dump_json()}"


@pytest.mark.parametrize(
    ("under", "over", "expected"),
    [
        ("secret_key: plain", {"SECRET_KEY_FILE": "FILE"}, "from-file"),
        ("secret_key_file: FILE", {"SECRET_KEY": "plain"}, "plain"),
        ("secret_key_file: /nowhere", {"SECRET_KEY_FILE": "FILE"}, "from-file"),
    ],
)
def test_a_secret_displaces_the_file_of_a_layer_below_and_the_reverse(
    under: str, over: Mapping[str, str], expected: str, tmp_path: Path, state: dict[str, str]
) -> None:
    file = str(written(tmp_path / "key", "from-file"))
    chosen = written(tmp_path / "mine.yaml", f"store: {{{under.replace('FILE', file)}}}")
    variables = {f"LIVERISK__STORE__{name}": value.replace("FILE", file) for name, value in over.items()}
    assert shown(load_config(chosen, {**state, **variables}).store.secret_key) == expected


def test_a_running_stack_gives_way_to_the_files_of_the_environment(tmp_path: Path, state: dict[str, str]) -> None:
    written(tmp_path / "state" / "connection.yaml", "store: {secret_key: of-the-stack}")
    file = written(tmp_path / "key", "from-file")
    merged = load_config(environment={**state, "LIVERISK__STORE__SECRET_KEY_FILE": str(file)})
    assert shown(merged.store.secret_key) == "from-file"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "store.secret_key_file: {} cannot be read (FileNotFoundError)"),
        (b"", "store.secret_key_file: {} is empty"),
        (b" \n", "store.secret_key_file: {} is empty"),
        (b"\xff\xfe", "store.secret_key_file: {} cannot be read (UnicodeDecodeError)"),
        (b"x" * 70_000, "store.secret_key_file: {} is too long"),
    ],
    ids=["missing", "empty", "blank", "binary", "long"],
)
def test_a_file_that_holds_no_secret_is_told_in_one_line(
    content: bytes | None, line: str, tmp_path: Path, state: dict[str, str]
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as refused:
        load_config(environment={**state, "LIVERISK__STORE__SECRET_KEY_FILE": str(file)})
    assert str(refused.value) == line.format(file)


def test_a_secret_and_its_file_in_one_place_are_refused(tmp_path: Path, state: dict[str, str]) -> None:
    both = {
        "LIVERISK__STORE__SECRET_KEY": "w0rd",
        "LIVERISK__STORE__SECRET_KEY_FILE": str(written(tmp_path / "k", "x")),
    }
    with pytest.raises(ConfigError, match=r"^store\.secret_key_file: store\.secret_key is set too; unset one of them$"):
        load_config(environment={**state, **both})
