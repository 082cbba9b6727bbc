from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from workers.cli.status import screen
from workers.engine.reported import Engine, Slot, parse_engine
from workers.lanes import LANES
from workers.lexicons import Standing
from workers.registry.slots import Move, Named, Registry, SlotFilling
from workers.runs.run import Progress
from workers.status import Lane, Piece, Status

AWAY = Status(
    at=datetime(2026, 3, 10, 20, tzinfo=UTC),
    broker=Piece(False, "ConnectionError"),
    store=Piece(False, "list quarantine/: EndpointConnectionError"),
    lanes=tuple(Lane(name, None, None) for name in LANES),
    in_work=None,
    workers=None,
    engines=None,
    recent=None,
    quarantined=None,
)

RESCAN = Progress(
    run="rescan-1",
    kind="rescan",
    state="running",
    lane="rescan",
    selected=300,
    recorded=100,
    unexaminable=2,
    examined=8,
    waiting=190,
    changes=5,
    created_at=datetime(2026, 3, 10, 19, tzinfo=UTC),
    rate_per_s=1.5,
    eta_s=132.0,
    detail="waiting for the engine",
)


def test_pieces_that_do_not_answer_are_shown_as_such() -> None:
    lines = list(screen(AWAY))

    silent = [line.split()[0] for line in lines if "NOT ANSWERING" in line]
    assert silent == ["broker", "store", "worker", "engine", "lexicons", "feeder", "run", "recent"]
    assert not AWAY.reachable
    for lane in LANES:
        assert any(lane in line and "?" in line for line in lines)


def test_a_heartbeat_with_unknown_fields_is_read() -> None:
    engine = parse_engine("host-1", b'{"host": "host-1", "ready": true, "device": "cpu", "novelty": [1]}')

    assert (engine.host, engine.ready, engine.device, engine.readable) == ("host-1", True, "cpu", True)


def test_where_the_registry_overrules_the_configuration_it_is_said() -> None:
    one, two = Named(id="one", digest="a" * 64), Named(id="two", digest="b" * 64)
    now = SlotFilling(active=two, previous=one, canary=one, share=10)
    move = Move(version=7, at=AWAY.at, who="ada", step="canary", slot="text.risk", after=now)
    registry = Registry(version=7, slots={"text.risk": now}, last=move)
    engine = Engine(host="host-1", registry=6, slots={"text.risk": Slot()}, problems={"text.risk": "two: no memory"})
    configured = {"text.risk": "one", "ocr": "reader"}
    lines = list(screen(replace(AWAY, registry=registry, engines=(engine,), configured=configured)))

    assert "  slot   text.risk IS NOT AS THE REGISTRY SAYS: two: no memory" in lines
    assert [line for line in lines if line.startswith("registry")] == [
        "registry text.risk      two@bbbbbbbbbbbb, one@aaaaaaaaaaaa for 10 % of streams; OVERRULES the configured one; "
        "back to one@aaaaaaaaaaaa with rollback",
        "registry ocr            reader, as configured",
        "registry version 7: canary text.risk by ada",
        "registry host-1 still serves version 6",
    ]


def test_a_heartbeat_that_cannot_be_read_is_an_engine_that_is_not_ready() -> None:
    engine = parse_engine("host-1", b"not json")

    assert (engine.host, engine.ready, engine.readable) == ("host-1", False, False)


def test_an_open_run_is_one_line_with_how_far_it_is_and_what_it_waits_for() -> None:
    lines = list(screen(replace(AWAY, feeder=True, runs=(RESCAN,))))

    assert (
        "run      rescan-1  running, lane rescan, 102 of 300, 8 more examined, 1.5 a second, 2 min to go; "
        "waiting for the engine"
    ) in lines
    assert "feeder   running" in lines


def test_open_runs_that_nobody_feeds_raise_an_alarm() -> None:
    assert "feeder   NONE, RUNS WAIT" in screen(replace(AWAY, feeder=False, runs=(RESCAN,)))
    assert "feeder   none" in screen(replace(AWAY, feeder=False, runs=()))


def test_a_run_that_could_not_be_read_is_named() -> None:
    lines = list(screen(replace(AWAY, feeder=True, runs=(), runs_unread=("rescan-2",))))

    assert "run      rescan-2  NOT READ" in lines


def test_a_lane_says_how_long_its_next_segment_has_waited() -> None:
    lanes = (Lane("live", 3, 1, 45.2), Lane("review", 1, 1, 7300.0), Lane("rescan", 0, 1))

    shown = [line for line in screen(replace(AWAY, lanes=lanes)) if line.startswith("lane")]
    assert ["the oldest for 45 s" in shown[0], "the oldest for 2.0 h" in shown[1], "oldest" in shown[2]] == [
        True,
        True,
        False,
    ]


def test_lexicons_are_shown_by_digest_and_broken_files_by_worker() -> None:
    standing = (
        Standing(worker="a:1", digest="a" * 64, terms=900, expired=3),
        Standing(worker="b:1", digest="a" * 64, terms=900, expired=3),
        Standing(worker="c:1", digest="c" * 64, terms=880, expired=0, problem="scam.zh.yaml: owner: Field required"),
    )
    shown = [line for line in screen(replace(AWAY, lexicons=standing)) if line.startswith("lexicons")]
    assert shown == [
        "lexicons aaaaaaaaaaaa, 900 terms, 3 expired, of 2 workers",
        "lexicons cccccccccccc, 880 terms, of 1 worker",
        "lexicons BROKEN, the last good ones stay in force: scam.zh.yaml: owner: Field required (c:1)",
    ]
