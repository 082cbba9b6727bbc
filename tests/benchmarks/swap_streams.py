"""Canary and shadow: which streams a canary takes, and that a shadow changes nothing of a record but its own block."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import psutil

from pipelines.manifest import SegmentManifest
from pipelines.record import Record
from tests.benchmarks.bench import Bench, say
from tests.benchmarks.corpus import Corpus
from tests.swapping import FORCED
from workers.engine.client import EngineClient
from workers.records import canonical, read_record, record_key_of
from workers.registry import moves
from workers.registry.slots import Move
from workers.registry.streams import takes

STREAMS = 2000
SHARE = 10.0
TOLERANCE = 2.5
"""Percentage points: more than three standard deviations of a fair draw of 2,000."""
WAIT_S = 300.0
SHADOWED = 6


def prove_canary(bench: Bench, slot: str, other: str) -> Iterator[str]:
    """Asks the engine for the models of 2,000 streams, kills it, and asks the next one the same."""
    settle(bench, moves.canary(bench.config, slot, other, SHARE, FORCED))
    streams = [f"stream-{number}" for number in range(STREAMS)]
    first = _taken(bench, slot, other, streams)
    psutil.Process(bench.engine().pid).kill()
    bench.wait(lambda: _ready(bench), "the next engine is ready")
    second = _taken(bench, slot, other, streams)
    elsewhere = _elsewhere(slot, streams)
    share = 100 * len(first) / STREAMS
    say(
        f"canary of {SHARE:g} %: {len(first)} of {STREAMS} streams ({share:.2f} %); "
        f"the next engine differs in {len(first ^ second)}, another process in {len(first ^ elsewhere)}"
    )
    many = sum(takes(slot, f"stream-{number}", SHARE) for number in range(100 * STREAMS)) / STREAMS
    say(f"  by the same rule {many:.2f} % of {100 * STREAMS}; 2,000 fair ones vary by 1.3 points")
    settle(bench, moves.clear(bench.config, slot))
    if abs(many - SHARE) > 0.5:
        yield f"the canary takes {many:.2f} % of {100 * STREAMS} streams"
    if abs(share - SHARE) > TOLERANCE:
        yield f"the canary took {share:.2f} % of the streams"
    if not first == second == elsewhere:
        yield "the canary's streams are not stable"


def prove_shadow(bench: Bench, corpus: Corpus, others: Mapping[str, str]) -> Iterator[str]:
    """The same segments, one after the other, without shadows and with one in each slot."""
    segments = list(_apart(corpus.manifests[:SHADOWED]))
    plain = [_examined(bench, one) for one in segments]
    for slot, other in others.items():
        settle(bench, moves.shadow(bench.config, slot, other))
    with_shadow = [_examined(bench, one) for one in segments]
    for slot in others:
        settle(bench, moves.clear(bench.config, slot))
    said = sum(bool(block.frames or block.texts) for record in with_shadow for block in record.shadow.values())
    left_out = sum(block.left_out for record in with_shadow for block in record.shadow.values())
    differ = [one for one, two in zip(plain, with_shadow, strict=True) if _bare(one, one) != _bare(two, one)]
    say(
        f"shadow: {len(segments)} records, {said} blocks with scores, {left_out} items left out; "
        f"{len(differ)} records differ in anything else"
    )
    if differ:
        yield f"{len(differ)} records differ beside their shadow, the first: {differ[0].segment_id}"
    if not said:
        yield "no shadow answered"


def settle(bench: Bench, move: Move) -> None:
    """Returns when every engine serves the move."""
    for answer in moves.await_engines(bench.config, move, WAIT_S):
        if answer.problem is not None:
            raise SystemExit(f"{move} was refused: {answer.problem}")


def _ready(bench: Bench) -> bool:
    with suppress(Exception):
        return bench.engine().ready
    return False


def _taken(bench: Bench, slot: str, other: str, streams: Sequence[str]) -> set[str]:
    client, found = EngineClient(bench.config), set()
    for stream in streams:
        with client.models(stream, lane="live", deadline=time.monotonic() + 60) as models:
            if models.checkpoints[slot].id == other:
                found.add(stream)
    client.close()
    return found


def _elsewhere(slot: str, streams: Sequence[str]) -> set[str]:
    """As another process chooses, with another seed of Python's own hashes."""
    program = (
        "import sys\nfrom workers.registry.streams import takes\n"
        "print(*[one for one in sys.stdin.read().split() if takes(sys.argv[1], one, float(sys.argv[2]))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, slot, str(SHARE)],
        input=" ".join(streams),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert set(done.stdout.split()) == {one for one in streams if takes(slot, one, SHARE)}
    return set(done.stdout.split())


def _apart(manifests: Sequence[SegmentManifest]) -> Iterator[SegmentManifest]:
    """Frames and chat of each segment as segments of their own: a batch is then the same at every time."""
    for number, one in enumerate(manifests):
        bare = {"audio": None, "stream_id": "beside"}
        yield one.model_copy(update={**bare, "segment_id": f"frames-{number}", "chat": (), "chat_key": None})
        yield one.model_copy(update={**bare, "segment_id": f"chat-{number}", "frames": ()})


def _examined(bench: Bench, manifest: SegmentManifest) -> Record:
    """The record of a segment of a stream that nobody remembers; it does not stay."""
    for key in bench.client.keys(f"liverisk:*:{manifest.stream_id}*"):
        bench.client.delete(key)
    bench.publisher.send(manifest)
    key = record_key_of(manifest)
    bench.wait(lambda: bench.storage.exists(key), "the segment has its record", timeout_s=120)
    bench.wait(bench.idle, "nothing is under way", timeout_s=120)
    record = read_record(bench.storage, key)
    bench.storage.delete(key)
    return record


def _bare(record: Record, clocks: Record) -> bytes:
    """Without its shadow, and with the other's clocks."""
    return canonical(record.model_copy(update={"shadow": {}, "processing": clocks.processing}))
