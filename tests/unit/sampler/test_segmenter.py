from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from workers.config import Tier
from workers.sampler.events import Event, Kind, Lapse, Sight, Sound, Tracks
from workers.sampler.segmenter import Segmenter, Window

BOTH: frozenset[Kind] = frozenset(("video", "audio"))


def sights(from_s: float, to_s: float, fps: int = 10) -> list[Event]:
    def at(index: int) -> Event:
        return Sight(index / fps, 1 / fps, lambda: f"{index / fps:g}".encode())

    return [at(index) for index in range(round(from_s * fps), round(to_s * fps))]


def sounds(from_s: float, to_s: float, value: int = 7) -> list[Event]:
    return [Sound(tenth / 10, np.full(1600, value, np.int16)) for tenth in range(round(from_s * 10), round(to_s * 10))]


def interleaved(*events: Event) -> list[Event]:
    return sorted(events, key=lambda event: event.at_s if isinstance(event, Sight | Sound) else 0.0)


def windows(events: Iterable[Event], kinds: frozenset[Kind] = BOTH, waits_s: float = 1.5) -> list[Window]:
    segmenter = Segmenter(Tier(segment_s=10, frame_interval_s=2), interleaving_s=waits_s)
    cut = [window for event in (Tracks(kinds), *events) for window in segmenter.add(event)]
    return [*cut, *segmenter.finish()]


def gaps(window: Window) -> list[tuple[float, float, str]]:
    return [(gap.from_s, gap.to_s, gap.reason) for gap in window.gaps]


def test_windows_are_equally_long_and_the_last_says_how_long_it_is() -> None:
    cut = windows(interleaved(*sights(0, 23), *sounds(0, 23)))
    assert [(window.start_s, window.duration_s) for window in cut] == [(0, 10), (10, 10), (20, 3)]


def test_a_frame_is_kept_at_every_due_time() -> None:
    cut = windows(interleaved(*sights(0, 20), *sounds(0, 20)))
    assert [still.at_s for still in cut[1].stills] == [0, 2, 4, 6, 8]
    assert [still.jpeg for still in cut[1].stills] == [b"10", b"12", b"14", b"16", b"18"]


def test_only_the_frames_that_are_kept_are_converted() -> None:
    converted: list[float] = []

    def sight(at_s: float) -> Sight:
        def encode() -> bytes:
            converted.append(at_s)
            return b"jpeg"

        return Sight(at_s, 0.1, encode)

    windows([sight(index / 10) for index in range(100)], frozenset(("video",)))
    assert converted == [0, 2, 4, 6, 8]


def test_a_frame_that_cannot_be_converted_gives_way_to_the_next() -> None:
    odd = Sight(2, 1, lambda: None)
    cut = windows([Sight(at_s, 1, lambda: b"jpeg") if at_s != 2 else odd for at_s in range(10)], frozenset(("video",)))
    assert [still.at_s for still in cut[0].stills] == [0, 3, 4, 6, 8]


def test_frames_rarer_than_asked_are_all_kept() -> None:
    cut = windows([Sight(at_s, 3, lambda: b"jpeg") for at_s in (0.0, 3.0, 6.0, 9.0)], frozenset(("video",)))
    assert [still.at_s for still in cut[0].stills] == [0, 3, 6, 9]


def test_audio_is_cut_at_the_sample_where_windows_meet() -> None:
    cut = windows(
        [*sounds(0, 9.5, 1), Sound(9.5, np.arange(16000, dtype=np.int16)), *sounds(10.5, 12)], BOTH - {"video"}
    )
    first, second = cut[0].samples, cut[1].samples
    assert first is not None
    assert second is not None
    assert (first.shape, first[-1], second[0]) == ((160000,), 7999, 8000)


def test_stamps_that_jitter_leave_no_seam_in_the_audio() -> None:
    events = [Sound(tenth / 10 + (0.004 if tenth % 2 else 0), np.full(1600, 7, np.int16)) for tenth in range(100)]
    [window] = windows(events, frozenset(("audio",)))
    assert window.samples is not None
    assert (window.samples == 7).all()


def test_overlapping_audio_is_heard_once() -> None:
    [window] = windows(
        [*sounds(0, 5, 1), Sound(4.5, np.full(16000, 2, np.int16)), *sounds(5.5, 10, 3)], BOTH - {"video"}
    )
    assert window.samples is not None
    assert [int((window.samples == value).sum()) / 16000 for value in (1, 2, 3)] == [5, 0.5, 4.5]


def test_a_hole_in_one_track_is_a_gap_of_that_track() -> None:
    [window] = windows(interleaved(*sights(0, 10), *sounds(0, 3), *sounds(6, 10)))
    assert gaps(window) == [(3, 6, "no audio received")]
    assert window.samples is not None
    assert not window.samples[48000:96000].any()


def test_a_jump_over_whole_windows_leaves_windows_that_hold_only_the_gap() -> None:
    cut = windows(interleaved(*sights(0, 5), *sounds(0, 5), *sights(35, 40), *sounds(35, 40)))
    assert [window.start_s for window in cut] == [0, 10, 20, 30]
    assert sorted(gaps(cut[1])) == [(0, 10, "no audio received"), (0, 10, "no video received")]
    assert cut[1].empty
    assert sorted(gaps(cut[3])) == [(0, 5, "no audio received"), (0, 5, "no video received")]


def test_a_track_that_begins_late_is_a_gap_from_the_start() -> None:
    [window] = windows(interleaved(*sights(0, 10), *sounds(4, 10)))
    assert gaps(window) == [(0, 4, "no audio received")]


def test_a_track_that_stays_away_does_not_hold_windows_up() -> None:
    segmenter = Segmenter(Tier(), interleaving_s=1.5)
    events = [Tracks(BOTH), *sounds(0, 2), *sights(0, 11.6)]
    [window] = [window for event in events for window in segmenter.add(event)]
    assert gaps(window) == [(2, 10, "no audio received")]


def test_a_track_that_runs_ahead_keeps_its_frames_for_the_next_window() -> None:
    cut = windows([*sights(0, 11), *sounds(0, 12), *sights(11, 12)])
    assert [[still.jpeg for still in window.stills] for window in cut] == [[b"0", b"2", b"4", b"6", b"8"], [b"10"]]


def test_an_outage_is_one_gap_however_often_the_source_was_tried() -> None:
    lapses = [Lapse(4, 5, "source dropped"), Lapse(5, 7, "source dropped")]
    again = [Tracks(BOTH), *interleaved(*sights(7, 10), *sounds(7, 10))]
    [window] = windows([*interleaved(*sights(0, 4), *sounds(0, 4)), *lapses, *again])
    assert gaps(window) == [(4, 7, "source dropped")]


def test_a_window_with_content_closes_during_the_outage() -> None:
    segmenter = Segmenter(Tier(), interleaving_s=1.5)
    events = [Tracks(BOTH), *interleaved(*sights(0, 4), *sounds(0, 4)), Lapse(4, 12, "source dropped")]
    [window] = [window for event in events for window in segmenter.add(event)]
    assert (window.duration_s, gaps(window)) == (10, [(4, 10, "source dropped")])


def test_windows_of_an_outage_come_when_the_source_does() -> None:
    again = [Tracks(BOTH), *interleaved(*sights(35, 40), *sounds(35, 40))]
    cut = windows([*interleaved(*sights(0, 10), *sounds(0, 10)), Lapse(10, 35, "source dropped"), *again])
    assert [gaps(window) for window in cut] == [
        [],
        [(0, 10, "source dropped")],
        [(0, 10, "source dropped")],
        [(0, 5, "source dropped")],
    ]


def test_an_outage_without_return_leaves_no_empty_windows() -> None:
    cut = windows([*interleaved(*sights(0, 10), *sounds(0, 10)), Lapse(10, 70, "source dropped")])
    assert len(cut) == 1


def test_a_remainder_too_short_to_say_anything_is_dropped() -> None:
    assert [window.duration_s for window in windows(interleaved(*sights(0, 10.3), *sounds(0, 10.3)))] == [10]


def test_a_source_without_audio_has_windows_without_audio_and_without_gaps() -> None:
    [window] = windows(sights(0, 10), frozenset(("video",)))
    assert (window.samples, window.gaps, len(window.stills)) == (None, (), 5)
