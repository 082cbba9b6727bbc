"""No source reaches what lies behind the sampler: not by its name, its playlist, nor a redirect."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from tests.hostile import playlist
from tests.recordings import recording, send, served
from workers.config import ConfigError, load_config
from workers.sampler.reach import Gate, OutOfReach, Reach
from workers.sampler.source import Opened, SourceError, address

HERE = Reach((ip_network("127.0.0.1/32"),))
ELSEWHERE = "127.0.0.2"
"""Also this machine, and in no network that `HERE` names."""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return recording(tmp_path_factory.mktemp("media") / "video.ts", seconds=1).read_bytes()


@pytest.fixture
def inside() -> Iterator[tuple[str, list[str]]]:
    """A server that no source may reach: its address, and what was asked of it."""
    asked: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, b"secret")

    with served(answer, ELSEWHERE) as base:
        yield base, asked


@pytest.mark.parametrize(
    "place",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:7f00:1::1",
    ],
)
def test_an_address_that_is_not_public_is_not_allowed(place: str) -> None:
    assert not Reach(()).allows(ip_address(place))


@pytest.mark.parametrize("place", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"])
def test_a_public_address_is_allowed(place: str) -> None:
    assert Reach(()).allows(ip_address(place))


def test_a_network_that_the_settings_name_is_allowed_and_its_neighbour_is_not() -> None:
    reach = Reach(
        load_config(environment={"LIVERISK__SAMPLER__ALLOW_NETWORKS": "[10.1.0.0/16]"}).sampler.allow_networks
    )
    assert reach.allows(ip_address("10.1.2.3"))
    assert reach.allows(ip_address("::ffff:10.1.2.3"))
    assert not reach.allows(ip_address("10.2.0.1"))


def test_what_is_no_network_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"sampler\.allow_networks"):
        load_config(environment={"LIVERISK__SAMPLER__ALLOW_NETWORKS": "[intranet]"})


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001"])
def test_a_name_is_what_it_stands_for(host: str) -> None:
    with pytest.raises(OutOfReach, match=host):
        Reach(()).addresses(host, 80)


def test_a_name_of_which_one_address_is_inside_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (place, 80)) for place in ("1.1.1.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(OutOfReach, match=r"127\.0\.0\.1"):
        Reach(()).addresses("both.example", 80)


@pytest.mark.parametrize("scheme", ["http", "https", "rtmp", "rtmps"])
def test_a_source_inside_is_refused_before_it_is_asked(scheme: str) -> None:
    with pytest.raises(SourceError, match=r"sampler\.allow_networks"):
        Opened(address(f"{scheme}://127.0.0.1:9/app/key"))


def test_a_source_in_reach_is_opened(video: bytes) -> None:
    with served(lambda handler: send(handler, video)) as base:
        opened = Opened(address(f"{base}/video.ts?sign=1"), HERE)
        opened.close()
    assert opened.kinds == {"video", "audio"}


class Turning(Reach):
    """Of a name that points to an allowed place when it is looked up first, and inside ever after."""

    def addresses(self, host: str, port: int) -> list[str]:
        found = super().addresses(host, port)
        self.networks = ()
        return found


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_turns_inside_after_it_was_checked_gains_nothing(scheme: str) -> None:
    asked: list[str] = []
    with served(lambda handler: asked.append(handler.path)) as base:
        where = address(base.replace("http", scheme, 1) + "/video.ts")
        with pytest.raises(SourceError, match=r"127\.0\.0\.1, where no source may be"):
            Opened(where, Turning(HERE.networks))
    assert asked == []


def test_a_tunnel_leads_to_the_place_that_was_asked_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as far:
        gate = Gate(HERE)
        try:
            with socket.create_connection(("127.0.0.1", int(gate.url.rpartition(":")[2])), timeout=10) as near:
                near.sendall(f"CONNECT 127.0.0.1:{far.getsockname()[1]} HTTP/1.1\r\n\r\n".encode())
                assert near.recv(100).startswith(b"HTTP/1.1 200 ")
                there, _ = far.accept()
                with there:
                    near.sendall(b"hello")
                    assert there.recv(100) == b"hello"
        finally:
            gate.close()


def test_a_redirect_to_the_inside_is_not_followed(inside: tuple[str, list[str]]) -> None:
    secret, asked = inside

    def elsewhere(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{secret}/a.ts")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    with served(elsewhere) as base, pytest.raises(SourceError, match=r"127\.0\.0\.2, where no source may be"):
        Opened(address(f"{base}/video.ts"), HERE)
    assert asked == []


def test_a_playlist_cannot_name_the_inside(inside: tuple[str, list[str]], video: bytes) -> None:
    secret, asked = inside
    with (
        served(lambda handler: send(handler, playlist(f"{secret}/a.ts"))) as base,
        pytest.raises(SourceError, match=r"127\.0\.0\.2, where no source may be"),
    ):
        Opened(address(f"{base}/list.m3u8"), HERE)
    assert asked == []


def test_a_playlist_of_playlists_cannot_name_the_inside(inside: tuple[str, list[str]]) -> None:
    secret, asked = inside
    master = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{secret}/inner.m3u8\n".encode()
    with served(lambda handler: send(handler, master)) as base, pytest.raises(SourceError):
        Opened(address(f"{base}/list.m3u8"), HERE)
    assert asked == []


def test_a_remote_playlist_cannot_name_a_file(tmp_path: Path, video: bytes) -> None:
    (tmp_path / "a.ts").write_bytes(video)
    with (
        served(lambda handler: send(handler, playlist(f"file://{tmp_path}/a.ts"))) as base,
        pytest.raises(SourceError, match="http://"),
    ):
        Opened(address(f"{base}/list.m3u8"), HERE)


def test_an_environment_that_exempts_a_host_from_proxies_exempts_nothing(
    inside: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, asked = inside
    monkeypatch.setenv("no_proxy", "127.0.0.2,127.0.0.1")
    with served(lambda handler: send(handler, playlist(f"{secret}/a.ts"))) as base, pytest.raises(SourceError):
        Opened(address(f"{base}/list.m3u8"), HERE)
    assert asked == []
