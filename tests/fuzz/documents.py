"""The targets that are text: messages, chat, cards, settings, policies, lexicons, each taken as the program does."""

from __future__ import annotations

import json
import math
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any, get_args

import yaml
from kombu.utils import json as wire_json

from pipelines.cards import CardError, read_card
from pipelines.chat_lines import group_chat
from pipelines.decode import InProcess
from pipelines.golden import read_golden
from pipelines.manifest import EARLIEST, LATEST, ChatRef, ManifestError, Profile, SegmentManifest, parse_manifest
from pipelines.policies import PolicyError, read_policies
from pipelines.text.lexicon import Lexicon, read_lexicons
from pipelines.text.lexicon_file import LexiconError, in_force, survey
from pipelines.text.lexicon_file import read_files as read_lexicon_files
from pipelines.text_scores import read_texts
from tests.fuzz.judging import MAX_MESSAGE, Run, Target
from tests.fuzz.shapes import documents, lines, texts
from tests.segments import CHAT_ONLY
from workers import quarantine
from workers.classify import _manifest as manifest_of
from workers.cli.enqueue import Found, read
from workers.config import ConfigError, load_config
from workers.fetch import OutsideMedia, check_reach, fetch_segment
from workers.lanes import message_in
from workers.records import record_key_of
from workers.runs.messages import MessageError, batch_call, segment_call
from workers.runs.reviews import RequestError, _asked
from workers.sampler.chat import ChatFile

ROOT = Path(__file__).resolve().parents[2]
TODAY = date(2026, 11, 1)

MANIFEST: dict[str, Any] = {
    "schema": "liverisk.segment",
    "version": 1,
    "stream_id": "room-42",
    "segment_id": "20260131T120000.000Z",
    "captured_at": "2026-01-31T12:00:00Z",
    "duration_s": 10.0,
    "frames": [{"at_s": 0, "key": "media/a/frames.mjpeg", "offset": 0, "length": 48211}, {"at_s": 2, "key": "media/b"}],
    "audio": {"key": "media/a/audio.flac"},
    "chat": [{"at_s": 1.5, "user": "viewer-7", "text": "加我微信 v x 看 今晚"}],
    "gaps": [{"from_s": 1.0, "to_s": 2.5, "reason": "source dropped"}],
    "context": {"language": "zh", "region": "CN", "viewers": 312},
    "sampler": {"segment_s": 10, "frame_interval_s": 2, "tier": "default"},
    "profile": "live",
    "run": "live",
}
CHAT: tuple[dict[str, Any], ...] = (
    {"at_s": 0.5, "user": "a", "text": "加 我 微 信"},
    {"at_s": 1, "user": "b", "text": "f r e e  m0ney!!! 🎁🎁"},
    {"at_s": 2, "user": "b", "text": "哈哈哈哈哈哈 jia wo wei xin"},
    {"at_s": 3, "user": "c", "text": "ｈｅｌｌｏ нello https://example.org"},
)
BOOKS: Mapping[str, Any] = {"policy": "scam", "language": "zh", "owner": "trust"}


class Kept:
    """Objects in memory, as far as quarantine and fetching ask for them."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        self.objects = objects or {}

    def put(self, key: str, body: bytes, *, content_type: str = "") -> None:
        self.objects[key] = body

    def get(
        self, key: str, *, offset: int | None = None, length: int | None = None, max_bytes: int | None = None
    ) -> bytes:
        return self.objects[key]


def opening(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """For a target that needs nothing opened."""

    @contextmanager
    def opened() -> Iterator[Run]:
        yield run

    return opened


def in_a_folder(run: Callable[[Path, bytes], str]) -> Callable[[], AbstractContextManager[Run]]:
    """For a target that reads files."""

    @contextmanager
    def opened() -> Iterator[Run]:
        with tempfile.TemporaryDirectory(prefix="liverisk-fuzz-") as folder:
            yield lambda data: run(Path(folder), data)

    return opened


def _manifest(data: bytes) -> str:
    """As `enqueue` reads it, and as every later reader of what it sent."""
    for one in read("file", data):
        if isinstance(one, Found):
            _usable(one.manifest)
    _usable(parse_manifest(data))
    return "accepted"


def _usable(manifest: SegmentManifest) -> None:
    message = manifest.as_message()
    assert parse_manifest(json.dumps(message)) == manifest, "a message says something else than its manifest"
    assert math.isfinite(manifest.lost_s), "no time"
    assert record_key_of(manifest).isprintable(), "no key"
    check_reach(manifest, "media/")


def _message(data: bytes) -> str:
    """A body as the broker brings it: whatever it is, it is named, and can be put aside."""
    try:
        body = wire_json.loads(data)
        arguments, named, *_ = body
        arguments, named = tuple(arguments), dict(named)
    except Exception:  # noqa: BLE001  # kombu and Celery answer for what is no message at all
        return "no task message"
    for call in (segment_call, batch_call):
        try:
            call(arguments, named)
        except MessageError as error:
            _check_line(str(error))
    message = message_in(arguments, named)
    for what in (message, message_in(arguments, named, name="request")):
        try:
            _asked(what)
        except RequestError as error:
            _put_aside(what, str(error))
    try:
        _usable(manifest_of(message))
    except (ManifestError, OutsideMedia) as error:
        _put_aside(message, str(error))
        raise
    return "accepted"


def _put_aside(message: object, detail: str) -> None:
    store: Any = Kept()
    key = quarantine.put_aside(store, message, reason="manifest", detail=detail, lane="live")
    entry = quarantine.read_entry(store, key.removeprefix(quarantine.PREFIX).removesuffix(".json"))
    assert entry.detail == detail, "another detail"
    assert key.isprintable(), "no key"
    assert len(key) < 1000, "no key"
    _check_line(detail)


def _check_line(said: str) -> None:
    assert said.isprintable(), "not one line"
    assert len(said) < MAX_MESSAGE, "not short"


@cache
def _lexicon() -> Lexicon:
    """One policy's terms, in all languages: with all twelve it takes seconds to make."""
    files = [file for file in read_lexicon_files(ROOT / "configs" / "lexicons") if file.policy == "scam"]
    lexicon = Lexicon(in_force(files, TODAY))
    lexicon.warm_up()
    return lexicon


def _chat(data: bytes) -> str:
    """An object of chat, as it is fetched, grouped and searched for terms."""
    manifest = CHAT_ONLY.model_copy(update={"chat": ChatRef(key="media/chat")})
    store = Kept({"media/chat": data})
    segment = fetch_segment(manifest, store, decoder=InProcess(), max_side_px=64, stages=())
    if problem := segment.problems.get("chat"):
        _check_line(problem.detail or "")
        return f"not examined: {problem.reason}"
    observed, _ = group_chat(segment.chat or ())
    for text in read_texts(observed, _lexicon()):
        for hit in text.hits:
            assert text.text[hit.start : hit.end] == hit.surface, "a hit elsewhere"
        text.model_dump_json().encode()
    return "accepted"


def _chat_text(data: bytes) -> str:
    """One line of a chat, its text being these bytes."""
    text = data.decode("utf-8", "replace")[:4000]
    return _chat(json.dumps({"at_s": 1, "user": "a", "text": text}).encode())


def _chat_file(folder: Path, data: bytes) -> str:
    path = folder / "chat.jsonl"
    path.write_bytes(data)
    file = ChatFile(path, follow=False)
    for window in range(3):
        for line in file.cut(10.0 * window, 10.0 * window + 10).lines:
            assert 0 <= line.at_s <= 10, "a line outside of its window"
    return "some lines unusable" if file.bad_total else "accepted"


def _card(folder: Path, data: bytes) -> str:
    (folder / "README.md").write_bytes(data)
    card = read_card(folder)
    assert len(card.rows) <= len(card.fields.labels), "rows without labels"
    card.model_dump_json().encode()
    return "accepted"


def _settings(folder: Path, data: bytes) -> str:
    """As a file and as one variable; then what the program works out from them."""
    path = folder / "liverisk.yaml"
    path.write_bytes(data)
    here = {"LIVERISK__STATE_DIRECTORY": str(folder)}
    with suppress(ConfigError):
        load_config(None, {**here, "LIVERISK__WORKER": data.decode("utf-8", "replace").replace("\0", "")})
    config = load_config(path, here)
    assert config.bulk_deadline_s > 0, "no deadline"
    assert config.bulk_soft_time_limit_s <= config.bulk_time_limit_s, "limits fall"
    assert config.decode_limits.segment_s > 0, "no time for decoding"
    EARLIEST - timedelta(seconds=config.review.before_s), LATEST + timedelta(seconds=config.review.after_s)
    for wait_s in (config.engine.linger_s, config.registry.poll_s, config.broker.socket_timeout_s):
        assert wait_s < threading.TIMEOUT_MAX, "no thread can wait for so long"
    for slot in config.slots.values():
        assert slot.checkpoints, "no checkpoint"
    config.model_dump_json().encode()
    return "accepted"


def _policies(folder: Path, data: bytes) -> str:
    path = folder / "policies.yaml"
    path.write_bytes(data)
    policies = read_policies(path)
    assert len(policies.digest) == 64, "no digest"
    for profile in get_args(Profile):
        LATEST - timedelta(seconds=policies.fusion.lookback_s(profile))
    return "accepted"


def _lexicons(folder: Path, data: bytes) -> str:
    (folder / "scam.zh.yaml").write_bytes(data)
    lexicon = read_lexicons(folder, today=TODAY)
    survey(read_lexicon_files(folder), TODAY)
    lexicon.read("加我微信 jia wo wei xin f r e e")
    return "accepted"


def _golden(folder: Path, data: bytes) -> str:
    path = folder / "golden.jsonl"
    path.write_bytes(data)
    read_golden(path)
    return "accepted"


def _manifests() -> list[bytes]:
    small = {
        name: MANIFEST[name] for name in ("schema", "version", "stream_id", "segment_id", "captured_at", "duration_s")
    }
    return [
        json.dumps(one, ensure_ascii=False).encode() for one in (MANIFEST, small, {**small, "chat": {"key": "media/c"}})
    ]


def _messages() -> list[bytes]:
    asked = {
        "stream_id": "room-42",
        "since": "2026-01-31T12:00:00Z",
        "until": "2026-01-31T13:00:00Z",
        "reason": "asked",
    }
    bodies: list[Any] = [[[MANIFEST], {}, {}], [[], {"manifest": MANIFEST}, {}], [[], {"request": asked}, {}]]
    bodies += [[["review-1", 1, 0], {}, {}], [[], {"run": "review-1", "batch": 1}, {}]]
    bodies += [
        [[{**MANIFEST, "captured_at": {"__type__": "datetime", "__value__": "2026-01-31T12:00:00+00:00"}}], {}, {}]
    ]
    return [json.dumps(body).encode() for body in bodies]


def _yaml_of(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def _cards() -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob("model_cards/*/README.md"))]


def _card_trees() -> list[dict[str, Any]]:
    fronts = [path.read_text(encoding="utf-8").split("\n---\n")[0] for path in ROOT.glob("model_cards/*/README.md")]
    return [json.loads(json.dumps(yaml.safe_load(front), default=str)) for front in sorted(fronts)]


def _between_lines(front: bytes) -> bytes:
    return b"---\n" + front + b"\n---\nWords.\n"


def _lexicon_trees() -> list[dict[str, Any]]:
    term = {"term": "加微信", "note": "x", "variants": ["加VX"], "phrases": ["加好友"], "strength": 0.5, "sounds": True}
    more = {"term": "私聊转账", "strength": 0.8, "alone": False, "allow": ["不要私聊转账"], "expires": "2027-01-31"}
    return [{**BOOKS, "terms": [term, more]}, {**BOOKS, "terms": []}]


def _settings_trees() -> list[dict[str, Any]]:
    return [
        {"broker": {"visibility_timeout_s": 120}, "worker": {"concurrency": 2, "lanes": ["live"], "deadline_s": 30}},
        {
            "slots": {
                "vision.nudity": {"checkpoint": "open-nsfw", "session": "torch", "deep": {"checkpoint": "siglip2"}}
            }
        },
        {"store": {"endpoint_url": "http://127.0.0.1:1", "bucket": "abc", "media_prefix": "media/", "secret_key": "x"}},
        {"sampler": {"tiers": {"default": {"segment_s": 10, "frame_interval_s": 2}}, "allow_networks": ["10.0.0.0/8"]}},
        {
            "store": {"secret_key_file": "/proc/self/status"},
            "broker": {"url_file": "key"},
            "engine": {"key_file": None},
        },
        {"decode": {"timeout_s": 5}, "retention": {}, "privacy": {}, "overload": {"thin_after_s": 30}, "state": {}},
        _yaml_of(ROOT / "configs" / "liverisk.yaml"),
    ]


def _as_yaml(trees: list[dict[str, Any]]) -> list[bytes]:
    return [yaml.safe_dump(tree, allow_unicode=True).encode() for tree in trees]


def jsonl(rows: tuple[dict[str, Any], ...]) -> bytes:
    return b"\n".join(json.dumps(row, ensure_ascii=False).encode() for row in rows)


_GOLDEN = ({"text": "send money", "scores": {"scam": 0.9}, "tolerance": 0.02}, {"audio": "a.wav", "heard": ["hello"]})
_PHRASES = ("加我微信 看今晚", "j i a wo vx", "ｆｒｅｅ 🎁 m0ney", "𝓱𝓮𝓵𝓵𝓸 ᗯOᖇᒪᗪ", "加\u200b微\u200b信", "8 8 8 520")

TARGETS: tuple[Target, ...] = (
    Target("manifest", opening(_manifest), _manifests, (ManifestError, OutsideMedia), lambda: documents([MANIFEST])),
    Target(
        "message",
        opening(_message),
        _messages,
        (ManifestError, OutsideMedia),
        lambda: documents([MANIFEST]).map(lambda one: b"[[" + one + b"], {}, {}]"),
    ),
    Target("chat", opening(_chat), lambda: [jsonl(CHAT)], (), lambda: lines(documents(CHAT)), limit_s=5),
    Target(
        "chat-text",
        opening(_chat_text),
        lambda: [one.encode() for one in _PHRASES],
        (),
        lambda: texts("加微信vx私聊0 .-*@８８Ⅷ𝓱ᗯ🎁ﾊﾝ"),
        limit_s=3,
    ),
    Target("chat-file", in_a_folder(_chat_file), lambda: [jsonl(CHAT)], (), lambda: lines(documents(CHAT))),
    Target("card", in_a_folder(_card), _cards, (CardError,), lambda: documents(_card_trees()).map(_between_lines)),
    Target(
        "settings",
        in_a_folder(_settings),
        lambda: _as_yaml(_settings_trees()),
        (ConfigError,),
        lambda: documents(_settings_trees()),
    ),
    Target(
        "policies",
        in_a_folder(_policies),
        lambda: [(ROOT / "configs" / "policies.yaml").read_bytes()],
        (PolicyError,),
        lambda: documents([_yaml_of(ROOT / "configs" / "policies.yaml")]),
    ),
    Target(
        "lexicons",
        in_a_folder(_lexicons),
        lambda: _as_yaml(_lexicon_trees()),
        (LexiconError,),
        lambda: documents(_lexicon_trees()),
    ),
    Target("golden", in_a_folder(_golden), lambda: [jsonl(_GOLDEN)], (CardError,), lambda: lines(documents(_GOLDEN))),
)
