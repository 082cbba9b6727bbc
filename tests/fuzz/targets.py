"""All targets by their names."""

from __future__ import annotations

from collections.abc import Mapping

from tests.fuzz import documents, media, stored
from tests.fuzz.judging import Target

TARGETS: Mapping[str, Target] = {
    target.name: target for target in (*documents.TARGETS, *stored.TARGETS, *media.TARGETS)
}
