"""Checkpoints: from a model card to a folder of weights that is complete and exactly what the card says."""

from pipelines.checkpoints.build import ensure
from pipelines.checkpoints.folder import Checkpoint, CheckpointError
from pipelines.checkpoints.lock import Lock, Locked
from pipelines.checkpoints.state import Standing, State, standing
from pipelines.checkpoints.verification import Finding, verify

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Finding",
    "Lock",
    "Locked",
    "Standing",
    "State",
    "ensure",
    "standing",
    "verify",
]
