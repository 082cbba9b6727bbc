"""What can go wrong between a worker and its engine. Apart, because workers import it and no model."""

from __future__ import annotations


class EngineUnavailable(Exception):
    """No engine answers, or it is not ready; worth trying again."""


class EngineBroken(Exception):
    """A model fails whatever it is given, or memory grows: only a new process can help."""


class AlreadyRunning(Exception):
    """Another engine serves this address."""


class CheckpointGone(Exception):
    """The checkpoint that this segment started with is no longer loaded: start the segment again."""


class EnginePaused(Exception):
    """No segment may start just now: an old checkpoint is freed before the next one is loaded."""


class UnknownSlot(KeyError):
    """No model fills this slot here."""
