"""Where an engine's socket lies, above all when the state directory is too deep for one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from workers.config import Config, ConfigError
from workers.config import Engine as EngineSettings
from workers.engine.address import engine_address

DEEP = Path("/nowhere") / "/".join(["deep"] * 30)


@pytest.fixture
def temporary(state_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system's temporary directory of the test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(state_directory))
    return state_directory


def fallback() -> Path:
    return Path(str(engine_address(Config(state_directory=DEEP)))).parent


def test_the_socket_lies_in_the_state_directory(state_directory: Path) -> None:
    assert engine_address(Config(state_directory=state_directory)) == str(state_directory.resolve() / "engine.sock")


def test_a_state_directory_too_deep_gets_a_directory_that_only_its_owner_may_enter(temporary: Path) -> None:
    directory = fallback()
    assert directory.parent == temporary
    assert directory.stat().st_mode & 0o777 == 0o700
    assert fallback() == directory


def test_a_directory_that_others_may_enter_is_refused(temporary: Path) -> None:
    fallback().chmod(0o770)
    with pytest.raises(ConfigError, match=r"engine\.address"):
        fallback()


def test_a_directory_of_somebody_else_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = fallback().stat().st_uid
    monkeypatch.setattr("workers.engine.address.os.geteuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=r"engine\.address"):
        fallback()


def test_a_link_in_the_place_of_the_directory_is_refused(temporary: Path) -> None:
    directory = fallback()
    directory.rename(temporary / "elsewhere")
    directory.symlink_to(temporary / "elsewhere")
    with pytest.raises(ConfigError, match=r"engine\.address"):
        fallback()


def test_a_temporary_directory_too_deep_as_well_is_named(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(DEEP))
    with pytest.raises(ConfigError, match=r"engine\.address"):
        fallback()


@pytest.mark.parametrize("address", ["host:port", "host:"])
def test_a_network_address_needs_a_port(address: str) -> None:
    with pytest.raises(ConfigError, match="neither a path nor host:port"):
        engine_address(Config(engine=EngineSettings(address=address)))
