"""Pictures of the bundled livestream; those with text need a font and are looked at in the committed stream."""

from __future__ import annotations

import numpy as np
import pytest

from workers.demo.drawing import HEIGHT, WIDTH
from workers.demo.programme import Scene, SceneName
from workers.demo.scenes import STAGES, picture

MOVING: tuple[SceneName, ...] = ("opening", "kitchen", "offer", "game", "sofa")
STILL: tuple[SceneName, ...] = ("recipe", "pause")


def drawn(scene: SceneName, at_s: float) -> np.ndarray:
    shown = Scene(from_s=0, to_s=60, scene=scene, banner="")
    return np.asarray(picture(shown, at_s, 0))


@pytest.mark.parametrize("scene", sorted(STAGES))
def test_a_scene_is_drawn_the_same_each_time(scene: SceneName) -> None:
    first = drawn(scene, 4.0)
    assert first.shape == (HEIGHT, WIDTH, 3)
    assert np.array_equal(first, drawn(scene, 4.0))


@pytest.mark.parametrize("scene", MOVING)
def test_a_moving_scene_changes_between_two_samples(scene: SceneName) -> None:
    assert not np.array_equal(drawn(scene, 4.0), drawn(scene, 6.0))


@pytest.mark.parametrize("scene", STILL)
def test_a_still_scene_repeats_itself(scene: SceneName) -> None:
    assert np.array_equal(drawn(scene, 4.0), drawn(scene, 6.0))
