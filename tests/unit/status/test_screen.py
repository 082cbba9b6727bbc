from __future__ import annotations

from datetime import UTC, datetime

from workers.cli.status import screen
from workers.lanes import LANES
from workers.status import Lane, Piece, Status, parse_engine

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


def test_pieces_that_do_not_answer_are_shown_as_such() -> None:
    lines = list(screen(AWAY))

    silent = [line.split()[0] for line in lines if "NOT ANSWERING" in line]
    assert silent == ["broker", "store", "worker", "engine", "recent"]
    assert not AWAY.reachable
    for lane in LANES:
        assert any(lane in line and "?" in line for line in lines)


def test_a_heartbeat_with_unknown_fields_is_read() -> None:
    engine = parse_engine("host-1", b'{"host": "host-1", "ready": true, "device": "cpu", "novelty": [1]}')

    assert (engine.host, engine.ready, engine.device, engine.readable) == ("host-1", True, "cpu", True)


def test_a_heartbeat_that_cannot_be_read_is_an_engine_that_is_not_ready() -> None:
    engine = parse_engine("host-1", b"not json")

    assert (engine.host, engine.ready, engine.readable) == ("host-1", False, False)
