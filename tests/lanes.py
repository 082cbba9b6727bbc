"""What lies in a lane, read from the broker as it is stored there, without any of the project's own code for it."""

from __future__ import annotations

import base64
import json

import redis

from pipelines.manifest import SegmentManifest, parse_manifest


def messages(broker: redis.Redis, lane: str = "live") -> list[dict[str, object]]:
    """The raw envelopes, oldest first."""
    return [json.loads(raw) for raw in reversed(broker.lrange(lane, 0, -1))]


def queued(broker: redis.Redis, lane: str = "live") -> list[SegmentManifest]:
    """The manifests, oldest first."""
    bodies = [json.loads(base64.b64decode(str(message["body"]))) for message in messages(broker, lane)]
    return [parse_manifest(body[0][0]) for body in bodies]
