"""Opens a source that the operator named: a file, an HLS playlist, an RTMP or HTTP stream.

The operator is trusted, what comes down the stream is not: a playlist may name only its own kind of
place (files beside a local one, HTTP beside a remote one), and only the containers listed here are parsed.
Remote places, redirects and playlists' entries included, lie within `workers.sampler.reach`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.error import FFmpegError

from workers.sampler.events import Kind
from workers.sampler.reach import Gate, OutOfReach, Reach

CONTAINERS = "mov,mp4,m4a,matroska,webm,mpegts,flv,live_flv,hls,ogg,wav,mp3,aac,flac,avi,mpeg"
"""ffmpeg's demuxer names. Scripts that open other places (concat, dash, image sequences) are absent on purpose."""

PROTOCOLS = {
    "file": "file,crypto",
    "http": "http,https,httpproxy,tcp,tls,crypto",
    "https": "http,https,httpproxy,tcp,tls,crypto",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
}
"""Scheme of the source -> what ffmpeg may open for it, playlist entries included."""

USUAL_PORTS = {"http": 80, "https": 443, "rtmp": 1935, "rtmps": 443}

OPEN_TIMEOUT_S = 10
READ_TIMEOUT_S = 10
PLAYLIST_READ_TIMEOUT_S = 30
"""For addresses that end like a playlist: it grows by whole segments, so silence between two of them is normal."""


PUBLIC = Reach(())


class SourceError(Exception):
    """The source cannot be opened or read on; one line without what an address may keep secret."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a source is. `name` is fit for messages: a path, or scheme and host without the rest."""

    url: str
    scheme: str
    name: str
    path: Path | None

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or USUAL_PORTS[self.scheme]

    @property
    def read_timeout_s(self) -> int:
        named_like_playlist = urlsplit(self.url).path.endswith((".m3u8", ".m3u"))
        return PLAYLIST_READ_TIMEOUT_S if named_like_playlist else READ_TIMEOUT_S

    @property
    def recorded_at(self) -> datetime | None:
        """A file's modification time to the millisecond: sampling it twice names the same segments twice."""
        if self.path is None:
            return None
        return datetime.fromtimestamp(int(self.path.stat().st_mtime * 1000) / 1000, UTC)


def address(source: str) -> Address:
    """Understands a path or URL; `SourceError` when there is no such file or the scheme is not taken."""
    scheme, separator, _ = source.partition("://")
    if separator and scheme.lower() != "file":
        scheme = scheme.lower()
        if scheme not in PROTOCOLS:
            raise SourceError(f"{scheme}:// is not a source; give a file, an http(s):// or an rtmp(s):// address")
        host = _host(source)
        if not host:
            raise SourceError(f"{scheme}:// without a host is not a source")
        return Address(source, scheme, f"{scheme}://{host}/…", None)
    path = Path(source.removeprefix("file://"))
    if not path.is_file():
        raise SourceError(f"{path}: no such file")
    return Address(f"file:{path.absolute()}", "file", str(path), path)


def _host(source: str) -> str | None:
    """None when there is none, or a port that is no number."""
    try:
        there = urlsplit(source)
        return there.hostname if there.port != 0 else None
    except ValueError:
        return None


class Opened:
    """An open source; `live` when it has no end in sight, so that its end may be a drop.

    A live playlist is joined at its last segment: what lies before is not live any more.
    """

    def __init__(self, where: Address, reach: Reach = PUBLIC) -> None:
        """`SourceError` when it does not answer, is of no accepted container or carries neither video nor audio.

        Also when it is out of reach. An RTMP address is looked up here and once more by ffmpeg; HTTP goes by what was
        looked up here.
        """
        self._gate: Gate | None = None
        try:
            if where.path is None:
                reach.addresses(where.host, where.port)
            self._gate = Gate(reach) if where.scheme in ("http", "https") else None
            self.container = self._opened(where)
        except (FFmpegError, OSError, OutOfReach) as error:
            refused = self._gate.refused if self._gate else None
            self._close_gate()
            raise SourceError(f"{where.name}: {cause(refused or error)}") from None
        playlist: bool = self.container.format.name == "hls"
        self.video = self._best("video")
        self.audio = self._best("audio")
        tracks: dict[Kind, av.stream.Stream | None] = {"video": self.video, "audio": self.audio}
        self.kinds = frozenset(kind for kind, track in tracks.items() if track is not None)
        if not self.decodable:
            self.close()
            refused = self._gate.refused if self._gate else None
            raise SourceError(f"{where.name}: {refused or 'neither video nor audio in it that can be decoded'}")
        self.live: bool = where.path is None and not self._has_an_end(where, playlist=playlist)
        self.spliced: bool = playlist or self.container.format.name == "mpegts"

    @property
    def decodable(self) -> list[av.stream.Stream]:
        """The tracks that there is a decoder for; one without is carried all the same, so its lack is a gap."""
        return [track for track in (self.video, self.audio) if track is not None and track.codec_context is not None]

    def close(self) -> None:
        self.container.close()
        self._close_gate()

    def _close_gate(self) -> None:
        if self._gate is not None:
            self._gate.close()

    def _opened(self, where: Address) -> av.container.InputContainer:
        options = {
            "protocol_whitelist": PROTOCOLS[where.scheme],
            "format_whitelist": CONTAINERS,
            "live_start_index": "-1",
        }
        if self._gate is not None:
            os.unsetenv("no_proxy")  # ffmpeg would go past the gate for what it names; os.environ keeps it for others
            options |= {"http_proxy": self._gate.url, "http_persistent": "0"}
        return av.open(
            where.url,
            "r",
            options=options,
            timeout=(OPEN_TIMEOUT_S, where.read_timeout_s),
            metadata_errors="replace",
        )

    def _has_an_end(self, where: Address, *, playlist: bool) -> bool:
        """RTMP is taken for live, and FLV says nothing: both carry a made-up duration when the encoder writes one."""
        if where.scheme in ("rtmp", "rtmps"):
            return False
        timed = self.container.duration is not None and self.container.format.name != "flv"
        return timed or (not playlist and self.container.size > 0)

    def _best(self, kind: str) -> av.stream.Stream | None:
        """The track that a player would choose; a cover picture is none."""
        stream = self.container.streams.best(kind)
        if stream is None or stream.disposition & av.stream.Disposition.attached_pic:
            return None
        return stream


def cause(error: Exception) -> str:
    """What ffmpeg says of an error, without the address it failed at."""
    said = str(error) if isinstance(error, OutOfReach) else getattr(error, "strerror", None) or type(error).__name__
    return str(said)[:1].lower() + str(said)[1:]
