"""Who may use a device: by a clock of the test where time decides, otherwise with models that wait for events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from pipelines.items import Item, Line, Result, Scores
from pipelines.models import DeadlinePassed
from workers.engine.batching import Batcher
from workers.engine.sharing import Sharing, Turn


class Gated:
    """Answers lines when its gate opens; keeps the batches, and what `at_start` said at the start of each."""

    def __init__(self, *, opened: bool = False, at_start: Callable[[], bool] | None = None) -> None:
        self.batches: list[list[str]] = []
        self.at_start = at_start
        self.seen: list[bool] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        if opened:
            self.gate.set()

    def __call__(self, items: Sequence[Item]) -> Sequence[Result]:
        self.batches.append([item.text for item in items if isinstance(item, Line)])
        if self.at_start is not None:
            self.seen.append(self.at_start())
        self.started.set()
        assert self.gate.wait(20)
        return [Scores(labels={})] * len(items)


@contextmanager
def device(*models: Gated, sharing: Sharing, max_batch: int = 8) -> Iterator[list[Batcher]]:
    """A batcher for each model, all on one device."""
    batchers = [Batcher(model, name="test", max_batch=max_batch, sharing=sharing) for model in models]
    try:
        yield batchers
    finally:
        for model in models:
            model.gate.set()
        for batcher in batchers:
            batcher.close()


def ask(batcher: Batcher, *texts: str, lane: str = "live") -> Future[Sequence[Result]]:
    return batcher.submit([Line(text) for text in texts], lane=lane)


def never() -> Sharing:
    """A CPU on which bulk gets nothing while live is in flight."""
    return Sharing(bulk_share=0)


def test_bulk_waits_in_every_slot_while_a_live_ask_is_in_flight_in_one() -> None:
    answered = threading.Event()
    speech, text = Gated(), Gated(opened=True, at_start=answered.is_set)
    with device(speech, text, sharing=never()) as (hears, reads):
        live = ask(hears, "live")
        live.add_done_callback(lambda _: answered.set())
        bulk = ask(reads, "bulk", lane="rescan")
        for probe in ("one", "two"):  # the slot of the text model works meanwhile, and passes bulk over
            ask(reads, probe).result(10)
        speech.gate.set()
        bulk.result(10)
    assert text.batches == [["one"], ["two"], ["bulk"]]
    assert text.seen == [False, False, True]


def test_live_asks_that_wait_for_their_model_hold_bulk_back_too() -> None:
    speech, text = Gated(), Gated(opened=True)
    with device(speech, text, sharing=never(), max_batch=1) as (hears, reads):
        first, second = ask(hears, "first"), ask(hears, "second")
        bulk = ask(reads, "bulk", lane="rescan")
        assert second.cancel()
        ask(reads, "probe").result(10)
        assert text.batches == [["probe"]]
        speech.gate.set()
        first.result(10)
        bulk.result(10)


def test_a_live_ask_in_a_slot_that_failed_lets_bulk_go() -> None:
    def fails(items: Sequence[Item]) -> Sequence[Result]:
        raise MemoryError

    sharing, text = never(), Gated(opened=True)
    broken = Batcher(fails, name="broken", max_batch=1, sharing=sharing)
    with device(text, sharing=sharing) as (reads,):
        ask(broken, "a", "b").result(10)
        ask(reads, "bulk", lane="rescan").result(10)
        broken.close()
    assert sharing.live == 0


@pytest.mark.parametrize("end", ["cancelled", "expired", "closed"])
def test_a_live_ask_that_ends_without_an_answer_lets_bulk_go(end: str) -> None:
    sharing, speech, text = never(), Gated(), Gated(opened=True)
    with device(speech, text, sharing=sharing) as (hears, reads):
        running = ask(hears, "running", lane="review")
        assert speech.started.wait(10)
        lost = hears.submit([Line("lost")], deadline=0 if end == "expired" else None)
        bulk = ask(reads, "bulk", lane="rescan")
        ask(reads, "probe").result(10)
        assert text.batches == [["probe"]]
        closing = threading.Thread(target=hears.close)
        if end == "cancelled":
            assert lost.cancel()
        elif end == "closed":
            closing.start()
        if end != "cancelled":
            speech.gate.set()
            assert isinstance(lost.exception(10), DeadlinePassed if end == "expired" else RuntimeError)
        bulk.result(10)
        assert sharing.live == 0
        speech.gate.set()
        running.result(10)


def test_live_and_bulk_never_share_a_batch_on_a_cpu() -> None:
    model = Gated()
    with device(model, sharing=never()) as (batcher,):
        running = ask(batcher, "running")
        assert model.started.wait(10)
        bulk, live = ask(batcher, "bulk", lane="rescan"), ask(batcher, "live")
        model.gate.set()
        for answer in (running, bulk, live):
            answer.result(10)
    assert model.batches == [["running"], ["live"], ["bulk"]]


@pytest.mark.parametrize("exclusive", [True, False])
def test_review_goes_before_rescan_and_the_oldest_of_a_lane_first(exclusive: bool) -> None:
    model = Gated()
    with device(model, sharing=Sharing(exclusive=exclusive, bulk_share=0), max_batch=1) as (batcher,):
        running = ask(batcher, "running")
        assert model.started.wait(10)
        asked = [("rescan", "r1"), ("review", "v1"), ("rescan", "r2"), ("no lane known", "x"), ("review", "v2")]
        answers = [ask(batcher, text, lane=lane) for lane, text in asked]
        model.gate.set()
        for answer in (running, *answers):
            answer.result(10)
    assert model.batches[1:] == [["v1"], ["v2"], ["r1"], ["r2"], ["x"]]


def test_bulk_moves_in_its_share_of_the_time_while_live_is_always_in_flight() -> None:
    speech, text = Gated(), Gated(opened=True)
    with device(speech, text, sharing=Sharing(bulk_share=0.5, batch_s=0.02)) as (hears, reads):
        live = ask(hears, "live")
        for number in range(3):
            ask(reads, f"bulk-{number}", lane="rescan").result(10)
        assert not live.done()


def test_bulk_of_a_model_that_is_busy_with_live_gets_its_share_too() -> None:
    model = Gated(opened=True)
    with device(model, sharing=Sharing(bulk_share=0.5, batch_s=0.001), max_batch=1) as (batcher,):
        bulk = ask(batcher, "bulk", lane="rescan")
        live: list[Future[Sequence[Result]]] = [ask(batcher, "live") for _ in range(50)]
        while not bulk.done():  # there is always a live one that waits
            live.append(ask(batcher, "live"))
            live.pop(0).result(10)


def test_a_bulk_batch_on_a_cpu_is_cut_to_the_time_it_may_take() -> None:
    now = [0.0]

    def slow(items: Sequence[Item]) -> Sequence[Result]:
        sizes.append(len(items))
        now[0] += 0.03 * len(items)
        return [Scores(labels={})] * len(items)

    sizes: list[int] = []
    batcher = Batcher(slow, name="slow", max_batch=32, sharing=Sharing(batch_s=0.1, clock=lambda: now[0]))
    try:
        ask(batcher, *"abcdefgh", lane="rescan").result(10)
        ask(batcher, *"abcdefgh").result(10)
    finally:
        batcher.close()
    assert sizes == [1, 3, 3, 1, 8]  # one to learn from, then what fits; live is not cut


def test_a_bulk_ask_that_expires_while_live_holds_it_back_is_told_so() -> None:
    speech, text = Gated(), Gated(opened=True)
    with device(speech, text, sharing=never()) as (hears, reads):
        ask(hears, "live")
        with pytest.raises(DeadlinePassed):
            reads.submit([Line("bulk")], lane="rescan", deadline=0).result(10)


class Book:
    """A queue of which only turn and cost are known, and a device whose clock the test moves."""

    def __init__(self, sharing: Sharing, turn: Turn | None, cost_s: float) -> None:
        self.turn, self.cost_s = turn, cost_s
        self.changed = threading.Condition(sharing.lock)
        sharing.join(self)

    def bulk_turn(self) -> Turn | None:
        return self.turn

    def bulk_cost_s(self) -> float:
        return self.cost_s


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tenth(clock: Clock) -> Iterator[Sharing]:
    """A CPU that owes bulk a tenth of the time."""
    sharing = Sharing(bulk_share=0.1, clock=clock)
    with sharing.lock:
        yield sharing


def test_bulk_may_start_beside_live_when_its_share_of_the_time_pays_for_it(tenth: Sharing, clock: Clock) -> None:
    bulk = Book(tenth, (2, 0), cost_s=0.3)
    assert tenth.admits(bulk)
    tenth.live_came()
    assert not tenth.admits(bulk)
    assert tenth.patience_s(bulk) == pytest.approx(3)
    clock.now = 3.01
    assert tenth.admits(bulk)


def test_over_time_bulk_beside_live_takes_its_share_whatever_was_expected(tenth: Sharing, clock: Clock) -> None:
    bulk = Book(tenth, (2, 0), cost_s=0.3)
    tenth.live_came()
    took = 0.0
    while clock.now < 1000:
        clock.now += (tenth.patience_s(bulk) or 0.0) + 1e-6
        assert tenth.admits(bulk)
        charged = tenth.charge(bulk.cost_s)
        clock.now += 0.5  # longer than was expected
        took += 0.5
        tenth.refund(charged, 0.5)
        tenth.settle()
    assert took / clock.now == pytest.approx(0.1, rel=0.01)


def test_credit_is_not_saved_beyond_one_batch(tenth: Sharing, clock: Clock) -> None:
    bulk = Book(tenth, (2, 0), cost_s=0.3)
    tenth.live_came()
    clock.now = 1000
    assert tenth.admits(bulk)
    tenth.charge(bulk.cost_s)
    assert tenth.patience_s(bulk) == pytest.approx(3)


def test_time_without_live_or_without_waiting_bulk_earns_no_credit(tenth: Sharing, clock: Clock) -> None:
    bulk = Book(tenth, None, cost_s=0.3)
    tenth.live_came()
    clock.now = 1000
    tenth.settle()
    bulk.turn = (2, 0)
    assert tenth.patience_s(bulk) == pytest.approx(3)
    tenth.live_ended()
    clock.now = 2000
    tenth.live_came()
    assert tenth.patience_s(bulk) == pytest.approx(3)


def test_a_dear_batch_is_not_starved_by_cheap_ones_that_came_later(tenth: Sharing, clock: Clock) -> None:
    speech, text = Book(tenth, (2, 0), cost_s=3), Book(tenth, (2, 1), cost_s=0.01)
    tenth.live_came()
    clock.now = 29
    assert not tenth.admits(text)
    assert tenth.patience_s(text) is None
    clock.now = 31
    assert tenth.admits(speech)


def test_review_of_one_slot_goes_beside_live_before_rescan_of_another(tenth: Sharing, clock: Clock) -> None:
    rescan, review = Book(tenth, (2, 0), cost_s=0.1), Book(tenth, (1, 1), cost_s=0.1)
    tenth.live_came()
    clock.now = 10
    assert tenth.admits(review)
    assert not tenth.admits(rescan)


def test_bulk_that_is_alone_with_the_device_pays_nothing(tenth: Sharing) -> None:
    bulk = Book(tenth, (2, 0), cost_s=0.1)
    assert tenth.charge(bulk.cost_s) is None
    tenth.live_came()
    assert tenth.patience_s(bulk) == pytest.approx(1)


def test_who_waits_for_quiet_goes_on_when_the_last_live_ask_has_ended() -> None:
    slow, sharing = Gated(), never()
    with device(slow, sharing=sharing) as (batcher,):
        first, second = ask(batcher, "one"), ask(batcher, "two")
        quiet = threading.Thread(target=sharing.wait_quiet, args=(20,))
        quiet.start()
        assert slow.started.wait(20)
        assert quiet.is_alive()
        slow.gate.set()
        quiet.join(20)
        assert (first.done(), second.done(), quiet.is_alive()) == (True, True, False)


def test_quiet_is_waited_for_no_longer_than_asked_and_not_at_all_where_bulk_is_free() -> None:
    slow, free = Gated(), Gated()
    with device(slow, sharing=never()) as (batcher,), device(free, sharing=Sharing(exclusive=False)) as (beside,):
        ask(batcher, "one")
        ask(beside, "one")
        batcher.sharing.wait_quiet(0.01)
        beside.sharing.wait_quiet(600)
        assert batcher.sharing.live == beside.sharing.live == 1


def test_between_two_asks_of_a_live_segment_the_device_is_not_given_away() -> None:
    now = [10.0]
    sharing = Sharing(linger_s=0.1, clock=lambda: now[0])
    with sharing.lock:
        sharing.live_came()
    sharing.live_ended()
    assert sharing.busy
    now[0] += 0.05
    with sharing.lock:
        sharing.live_came()
    sharing.live_ended()
    now[0] += 0.09
    assert sharing.busy
    now[0] += 0.02
    assert not sharing.busy


def test_bulk_starts_by_itself_when_the_moment_after_live_has_passed() -> None:
    quick, sharing = Gated(opened=True), Sharing(bulk_share=0, linger_s=0.05)
    with device(quick, sharing=sharing) as (batcher,):
        ask(batcher, "live").result(20)
        assert ask(batcher, "bulk", lane="rescan").result(20)
        assert quick.batches == [["live"], ["bulk"]]
