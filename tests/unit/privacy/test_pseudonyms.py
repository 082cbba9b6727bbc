"""Users under other names: the same for the same key, and no key is taken that anybody could guess."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.manifest import ChatLine, SegmentManifest
from pipelines.segment import Segment
from workers.config import Config, ConfigError
from workers.privacy.pseudonyms import KEY_FILE, Pseudonyms
from workers.privacy.settings import Privacy


def config(folder: Path, **privacy: object) -> Config:
    return Config(state_directory=folder, privacy=Privacy.model_validate(privacy))


def segment(*users: str) -> Segment:
    manifest = SegmentManifest(
        schema="liverisk.segment",
        version=1,
        stream_id="room",
        segment_id="one",
        captured_at=datetime(2026, 3, 10, tzinfo=UTC),
        duration_s=10,
    )
    return Segment(manifest, chat=tuple(ChatLine(at_s=1, user=user, text="hello") for user in users))


def test_a_user_has_one_name_for_a_key_and_another_for_another(tmp_path: Path) -> None:
    one, two = (Pseudonyms.of(config(tmp_path, user_key=key * 4)) for key in ("abcd", "wxyz"))

    assert one.name("viewer-1") == one.name("viewer-1") == Pseudonyms(b"abcdabcdabcdabcd").name("viewer-1")
    assert len({one.name("viewer-1"), one.name("viewer-2"), two.name("viewer-1")}) == 3
    assert "viewer" not in one.name("viewer-1")


def test_chat_keeps_its_lines_and_who_wrote_which_of_them(tmp_path: Path) -> None:
    names = Pseudonyms.of(config(tmp_path))
    renamed = names.applied(segment("a", "b", "a")).chat

    assert renamed is not None
    assert [line.user for line in renamed] == [names.name("a"), names.name("b"), names.name("a")]
    assert {line.text for line in renamed} == {"hello"}


def test_users_keep_their_ids_where_that_is_configured(tmp_path: Path) -> None:
    names = Pseudonyms.of(config(tmp_path, user_ids="plain"))
    chat = names.applied(segment("a")).chat

    assert chat is not None
    assert chat[0].user == names.name("a") == "a"
    assert not (tmp_path / KEY_FILE).exists()


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    first, second = Pseudonyms.of(config(folder)), Pseudonyms.of(config(folder))

    assert first == second
    assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [KEY_FILE]


def test_the_key_of_a_file_is_used(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sixteen bytes or more\n")

    assert Pseudonyms.of(config(tmp_path, user_key_file=tmp_path / "key")).key == b"sixteen bytes or more"


@pytest.mark.parametrize(
    ("privacy", "line"),
    [
        ({"user_key": SecretStr("short")}, "privacy.user_key: 5 bytes are too few"),
        ({"user_key_file": Path("/nowhere/key")}, "privacy.user_key_file: /nowhere/key cannot be read"),
    ],
)
def test_a_key_that_is_none_is_refused_in_one_line(tmp_path: Path, privacy: dict[str, object], line: str) -> None:
    with pytest.raises(ConfigError, match=line) as refusal:
        Pseudonyms.of(config(tmp_path, **privacy))

    assert "\n" not in str(refusal.value)


def test_where_no_key_can_be_made_it_is_said_what_to_set(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigError, match="LIVERISK__PRIVACY__USER_KEY"):
        Pseudonyms.of(config(tmp_path / "file"))


def test_neither_key_nor_settings_show_the_key(tmp_path: Path) -> None:
    settings = config(tmp_path, user_key="a very secret key")

    assert "secret" not in repr(Pseudonyms.of(settings))
    assert "secret key" not in settings.model_dump_json()
    assert "secret key" not in repr(settings)


@pytest.mark.parametrize("user", ["", "\u5c0f\u660e", "\ud800", "a" * 256, "\U0001f600"])
def test_every_id_that_a_platform_may_send_has_a_name(tmp_path: Path, user: str) -> None:
    assert Pseudonyms.of(config(tmp_path)).name(user).startswith("u-")
