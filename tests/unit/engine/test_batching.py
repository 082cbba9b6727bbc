"""The batcher's promises, with models that are functions and that wait for events instead of time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from pipelines.items import Failure, Item, Line, Picture, Result, Scores
from pipelines.models import DeadlinePassed
from tests.conftest import WaitUntil
from workers.engine.batching import Batcher
from workers.engine.sharing import Sharing


def lines(*texts: str) -> list[Line]:
    return [Line(text) for text in texts]


def texts(items: Sequence[Item]) -> list[str]:
    return [item.text for item in items if isinstance(item, Line)]


class Recorder:
    """Answers each line with its length; keeps the batches. While `gate` is unset the first batch waits."""

    def __init__(self, *, gated: bool = False) -> None:
        self.batches: list[list[str]] = []
        self.started = threading.Event()
        self.gate = threading.Event()
        if not gated:
            self.gate.set()

    def __call__(self, items: Sequence[Item]) -> Sequence[Result]:
        self.batches.append(texts(items))
        self.started.set()
        assert self.gate.wait(10)
        if "poison" in texts(items):
            raise MemoryError
        return [Scores(labels={"length": len(item.text) if isinstance(item, Line) else 0}) for item in items]


@contextmanager
def batching(
    model: Recorder, *, max_batch: int = 4, at_a_time: int = 1, sharing: Sharing | None = None
) -> Iterator[Batcher]:
    batcher = Batcher(model, name="test", max_batch=max_batch, at_a_time=at_a_time, sharing=sharing)
    try:
        yield batcher
    finally:
        model.gate.set()
        batcher.close()


def lengths(results: Sequence[Result]) -> list[float | str]:
    return [
        r.labels["length"] if isinstance(r, Scores) else r.error for r in results if isinstance(r, Scores | Failure)
    ]


def test_a_lone_request_does_not_wait_for_company() -> None:
    model = Recorder()
    with batching(model) as batcher:
        assert lengths(batcher.submit(lines("a", "bb")).result(10)) == [1, 2]
    assert model.batches == [["a", "bb"]]


def test_requests_that_wait_together_ride_together() -> None:
    model = Recorder(gated=True)
    with batching(model) as batcher:
        first = batcher.submit(lines("first"))
        assert model.started.wait(10)
        others = [batcher.submit(lines(text)) for text in ("b", "c", "d")]
        model.gate.set()
        for answer in (first, *others):
            answer.result(10)
    assert model.batches == [["first"], ["b", "c", "d"]]


def test_a_request_larger_than_a_batch_is_split_and_answered_in_order() -> None:
    model = Recorder()
    with batching(model, max_batch=2) as batcher:
        assert lengths(batcher.submit(lines("a", "bb", "ccc", "dddd", "eeeee")).result(10)) == [1, 2, 3, 4, 5]
    assert [len(batch) for batch in model.batches] == [2, 2, 1]


def test_on_cuda_live_goes_first_and_bulk_fills_the_places_it_leaves() -> None:
    model = Recorder(gated=True)
    with batching(model, max_batch=2, sharing=Sharing(exclusive=False, bulk_share=0)) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        bulk = batcher.submit(lines("bulk-1", "bulk-2"), lane="rescan")
        live = batcher.submit(lines("live-1"))
        model.gate.set()
        for answer in (running, bulk, live):
            answer.result(10)
    assert model.batches == [["running"], ["live-1", "bulk-1"], ["bulk-2"]]


def test_on_cuda_a_share_of_the_batches_is_bulks_under_constant_live_load() -> None:
    model = Recorder(gated=True)
    with batching(model, max_batch=1, sharing=Sharing(exclusive=False, bulk_share=0.25)) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        bulk = batcher.submit(lines("bulk"), lane="rescan")
        live = [batcher.submit(lines(f"live-{number}")) for number in range(8)]
        model.gate.set()
        for answer in (running, bulk, *live):
            answer.result(10)
    assert model.batches.index(["bulk"]) == 4


def test_a_bad_item_fails_alone_and_its_neighbours_succeed() -> None:
    model = Recorder()
    with batching(model, max_batch=16) as batcher:
        results = batcher.submit(lines(*"abcdefg", "poison", *"hijklmno")).result(10)
    assert lengths(results) == [1] * 7 + ["MemoryError"] + [1] * 8


def test_a_model_that_answers_too_few_fails_the_items_and_not_the_loop() -> None:
    model = Recorder()
    batcher = Batcher(lambda items: [], name="short", max_batch=4)
    try:
        assert lengths(batcher.submit(lines("a", "b")).result(10)) == ["ValueError", "ValueError"]
        assert lengths(batcher.submit(lines("c")).result(10)) == ["ValueError"]
    finally:
        batcher.close()
    assert model.batches == []


def test_items_that_wait_past_their_deadline_are_not_run() -> None:
    model = Recorder(gated=True)
    with batching(model) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        late = batcher.submit(lines("late"), deadline=time.monotonic())
        model.gate.set()
        running.result(10)
        with pytest.raises(DeadlinePassed):
            late.result(10)
    assert model.batches == [["running"]]


def test_pictures_that_expire_together_are_dropped_one_by_one() -> None:
    model = Recorder(gated=True)
    picture = Picture(np.zeros((8, 8, 3), np.uint8))
    with batching(model) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        waiting = batcher.submit([picture])
        late = batcher.submit([picture], deadline=time.monotonic())
        model.gate.set()
        running.result(10)
        with pytest.raises(DeadlinePassed):
            late.result(10)
        waiting.result(10)


def test_what_a_caller_gave_up_before_its_turn_is_not_run() -> None:
    model = Recorder(gated=True)
    with batching(model) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        assert batcher.submit(lines("given up")).cancel()
        assert batcher.counts().waiting == 0
        model.gate.set()
        running.result(10)
        batcher.submit(lines("next")).result(10)
    assert model.batches == [["running"], ["next"]]


def test_a_caller_that_gives_up_does_not_stop_the_others() -> None:
    model = Recorder(gated=True)
    with batching(model) as batcher:
        running = batcher.submit(lines("running"))
        assert model.started.wait(10)
        given_up, patient = batcher.submit(lines("a")), batcher.submit(lines("bb"))
        assert given_up.cancel()
        model.gate.set()
        running.result(10)
        assert lengths(patient.result(10)) == [2]


def test_closing_answers_everyone_who_waits() -> None:
    model = Recorder(gated=True)
    batcher = Batcher(model, name="closing", max_batch=1)
    running = batcher.submit(lines("running"))
    assert model.started.wait(10)
    waiting = batcher.submit(lines("waiting"))
    closer = threading.Thread(target=batcher.close)
    closer.start()
    model.gate.set()
    closer.join(10)
    assert lengths(running.result(10)) == [7]
    with pytest.raises(RuntimeError, match="stopping"):
        waiting.result(10)
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(lines("too late")).result(10)


def test_counts_say_what_was_run_and_what_failed() -> None:
    model = Recorder()
    with batching(model) as batcher:
        batcher.submit(lines("a", "poison")).result(10)
        batcher.submit(lines("b")).result(10)
        counts = batcher.counts()
    assert (counts.batches, counts.items, counts.failed, counts.waiting) == (2, 3, 1, 0)


def test_counts_say_how_much_of_the_work_was_bulk() -> None:
    with batching(Recorder()) as batcher:
        batcher.submit(lines("a")).result(10)
        batcher.submit(lines("b", "c"), lane="rescan").result(10)
        counts = batcher.counts()
    assert (counts.items, counts.bulk_items) == (3, 2)
    assert 0 < counts.bulk_busy_s < counts.busy_s


def test_batches_that_break_the_model_whole_are_counted_until_an_item_succeeds() -> None:
    model = Recorder()
    with batching(model, max_batch=2) as batcher:
        batcher.submit(lines("poison", "poison", "poison")).result(10)
        assert batcher.counts().broken_in_row == 2  # singles after halving are one batch
        batcher.submit(lines("poison", "a")).result(10)
        assert batcher.counts().broken_in_row == 0


def test_a_model_that_says_what_is_wrong_with_each_item_is_not_broken() -> None:
    batcher = Batcher(lambda items: [Failure(error="TooSmall")] * len(items), name="strict", max_batch=4)
    try:
        batcher.submit(lines("a", "b")).result(10)
        assert (batcher.counts().failed, batcher.counts().broken_in_row) == (2, 0)
    finally:
        batcher.close()


def test_a_running_batch_says_since_when_it_has_been_running(wait_until: WaitUntil) -> None:
    model = Recorder(gated=True)
    with batching(model) as batcher:
        assert batcher.counts().running_s == 0
        answer = batcher.submit(lines("a"))
        assert model.started.wait(10)
        wait_until(lambda: batcher.counts().running_s > 0, "the batch is running")
        model.gate.set()
        answer.result(10)
        assert batcher.counts().running_s == 0


def test_a_model_of_two_lanes_runs_two_batches_side_by_side(wait_until: WaitUntil) -> None:
    model = Recorder(gated=True)
    with batching(model, max_batch=1, at_a_time=2) as batcher:
        first = batcher.submit(lines("a", "b"))
        third = batcher.submit(lines("c"))
        wait_until(lambda: len(model.batches) == 2, "both lanes are busy")
        assert batcher.counts().waiting == 1
        model.gate.set()
        assert lengths(first.result(10)) == [1, 1]
        assert lengths(third.result(10)) == [1]
    assert sorted(model.batches) == [["a"], ["b"], ["c"]]


def test_where_live_and_bulk_slow_each_other_down_bulk_leaves_a_lane_to_live(wait_until: WaitUntil) -> None:
    model = Recorder(gated=True)
    with batching(model, max_batch=1, at_a_time=2) as batcher:
        bulk = batcher.submit(lines("bulk-1", "bulk-2"), lane="rescan")
        assert model.started.wait(10)
        live = batcher.submit(lines("live"))
        wait_until(lambda: len(model.batches) == 2, "live is running beside bulk")
        assert model.batches == [["bulk-1"], ["live"]]
        model.gate.set()
        live.result(10)
        assert lengths(bulk.result(10)) == [6, 6]


def test_the_lane_of_the_oldest_batch_says_how_long_one_has_been_running(wait_until: WaitUntil) -> None:
    model = Recorder(gated=True)
    now = [100.0]
    with batching(model, max_batch=1, at_a_time=2, sharing=Sharing(clock=lambda: now[0])) as batcher:
        batcher.submit(lines("a"))
        wait_until(lambda: len(model.batches) == 1, "the first runs")
        now[0] = 107.0
        batcher.submit(lines("b"))
        wait_until(lambda: len(model.batches) == 2, "the second runs")
        assert batcher.counts().running_s == 7


def test_a_bad_item_fails_alone_in_either_lane() -> None:
    model = Recorder()
    with batching(model, max_batch=2, at_a_time=2) as batcher:
        answers = [batcher.submit(lines("a", "poison")) for _ in range(4)]
        assert all(lengths(answer.result(10)) == [1, "MemoryError"] for answer in answers)
        assert (batcher.counts().failed, batcher.counts().broken_in_row) == (4, 0)


def test_closing_waits_for_every_lane() -> None:
    model = Recorder(gated=True)
    batcher = Batcher(model, name="closing", max_batch=1, at_a_time=2)
    answers = [batcher.submit(lines(text)) for text in ("a", "b")]
    assert model.started.wait(10)
    model.gate.set()
    for answer in answers:
        answer.result(10)
    batcher.close()
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(lines("too late")).result(10)
