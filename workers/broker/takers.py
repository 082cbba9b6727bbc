"""How a message leaves its lane: one for each free child, always out of the most urgent lane that has any.

RabbitMQ pushes to consumers, and counts what it pushed queue by queue: a worker of three lanes would be given three
times what its children can begin, and bulk that lies there waits behind live work while other workers are idle. So
nothing is pushed; whoever has a free child looks into the lanes in their order and gets one message.

kombu's Redis transport pops a message first (BRPOP) and notes in a second step that somebody has it. A worker that
dies in between takes the message with it, and one that was paused before it died always does: Redis hands the message
to a connection nobody reads. Here both is one step of the server, and its clock says when the message was taken.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import amqp
import redis
from kombu import Consumer as Subscription
from kombu import Queue
from kombu.transport.virtual import QoS as Delivered

from workers.broker.connecting import VISIBILITY
from workers.broker.declared import DEAD
from workers.broker.letters import UNREADABLE, dead_entry, keep_to_the_task

logger = logging.getLogger(__name__)

BUSY_S = 0.02
"""Between two looks for a free child, which cost nothing."""
REFUSED_S = 1.0
"""Until a broker that refuses to give out messages is asked again, as one does whose memory is full."""
RESTORE_S = 1.0
"""Between two looks for messages that somebody has had for too long."""
RESTORED_AT_ONCE = 100
COMPRESSION = "compression"
"""The header that has kombu unpack a body, to whatever size. Without it a packed body is no JSON, and put aside."""

TAKE = """
for index = 4, #KEYS do
  local item = redis.call('LINDEX', KEYS[index], -1)
  if item then
    local readable, message = pcall(cjson.decode, item)
    local tag = readable and type(message) == 'table' and type(message.properties) == 'table'
      and message.properties.delivery_tag
    local lane, now = ARGV[index - 3], redis.call('TIME')
    if type(tag) ~= 'string' then
      redis.call('LPUSH', KEYS[3], lane .. ' ' .. item)
      redis.call('RPOP', KEYS[index])
      return {'', #item}
    end
    redis.call('HSET', KEYS[1], tag, '[' .. item .. ',"",' .. cjson.encode(lane) .. ']')
    redis.call('ZADD', KEYS[2], now[1] .. '.' .. string.format('%06d', now[2]), tag)
    redis.call('RPOP', KEYS[index])
    return {item, #item, tag, lane}
  end
end
return false
"""
"""Keys: messages taken, when they were taken, the dead, and where messages wait, most urgent first; their lanes.

What is taken is noted as kombu notes it, so that acknowledging, putting back and looking at it go on as they are; and
first noted, then taken, as a script that fails half-way keeps what it did.
"""


class LaneTaker(Subscription):  # type: ignore[misc]  # kombu ships no types
    """Stands where Celery's subscription to the queues stands. `room` is how many messages may be taken just now."""

    idle_s: float
    """Between two looks into empty lanes."""
    looked_at = math.inf
    """When it last began to look, on the monotonic clock; never while it is not to."""

    def __init__(self, connection: Any, queues: Sequence[Queue], *, hub: Any, room: Callable[[], int], **named: Any):
        self._hub, self._room = hub, room
        self._next: Any = None
        super().__init__(connection, list(queues), **named)

    def consume(self, no_ack: bool | None = None) -> None:
        """Begins to look; from within the event loop, as everything that speaks to this connection."""
        if self._next is None:
            self._next = self._hub.call_later(0, self._look)

    def cancel(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self.looked_at = math.inf

    close = cancel

    def _look(self) -> None:
        self.looked_at, after_s = time.monotonic(), REFUSED_S
        try:
            after_s = self._look_once()
        finally:
            # Celery's loop goes on after what is no error of the connection; a worker that never looks again is lost.
            self._next = self._hub.call_later(after_s, self._look)

    def _look_once(self) -> float:
        """Seconds until the next look."""
        return self.idle_s if self.take() is None else BUSY_S

    def take(self) -> int | None:
        """As many messages as there is room for; how many, or None when there was room and nothing to take."""
        taken = 0
        while self._room() > 0:
            message = self._most_urgent()
            if message is None:
                return taken or None
            self._hand_over(message)
            taken += 1
        return taken

    def _hand_over(self, message: Any) -> None:
        message.accept = self.accept
        try:
            if message.errors:
                message._reraise_error(self.on_decode_error)
            else:
                keep_to_the_task(message)
                self.on_message(message)
        except UNREADABLE as error:
            # Celery believes headers to be what they should be; what this says of one message would end the worker.
            self.refuse(message, type(error).__name__)

    def refuse(self, message: Any, why: str) -> None:
        """Puts a message aside that is no task of this pool, from where the feeder brings it to quarantine."""
        logger.error("message refused error=%s bytes=%d", why, len(message.body or b""))
        if not message.acknowledged:
            self._put_aside(message)

    def _put_aside(self, message: Any) -> None:
        raise NotImplementedError

    def _most_urgent(self) -> Any:
        """A message that is this worker's from now on, or None."""
        raise NotImplementedError


class RabbitTaker(LaneTaker):
    """A question for each lane is answered without touching its log."""

    idle_s = 0.1

    def _most_urgent(self) -> Any:
        try:
            for queue in self.queues:
                if self.channel.queue_declare(queue.name, passive=True).message_count:
                    message = self.channel.basic_get(queue.name, no_ack=False)
                    if message is not None:
                        message.delivery_info["routing_key"] = queue.name  # the lane, whatever its sender called it
                        (message.headers or {}).pop(COMPRESSION, None)
                        return self.channel.message_to_python(message)
        except amqp.exceptions.ChannelError as error:
            # Celery connects anew, and declares its queues anew, for connection errors only.
            raise ConnectionResetError(f"lane lost: {type(error).__name__}") from None
        return None

    def _put_aside(self, message: Any) -> None:
        """Its lane was declared with where such messages go."""
        message.reject_log_error(logger, (OSError,))


class RedisTaker(LaneTaker):
    """Brings back, too, what somebody took and did not acknowledge within the visibility timeout."""

    idle_s = 0.05

    def __init__(self, connection: Any, queues: Sequence[Queue], **named: Any) -> None:
        self._visible_after_s = float(connection.transport_options[VISIBILITY])
        self._restored_at = -math.inf
        super().__init__(connection, queues, **named)

    def restore(self) -> int:
        """How many messages went back into their lanes; by the clock of the server, as they were taken."""
        qos, limit = self.channel.qos, RESTORED_AT_ONCE
        with self.channel.conn_or_acquire() as client:
            seconds, microseconds = client.time()
            last = seconds + microseconds / 1e6 - self._visible_after_s
            overdue = client.zrange(qos.unacked_index_key, "-inf", last, byscore=True, offset=0, num=limit)
            for tag in overdue:
                qos.restore_by_tag(tag.decode() if isinstance(tag, bytes) else tag, client)
        if overdue:
            logger.warning("messages back from workers that had them too long: %d", len(overdue))
        return len(overdue)

    def _look_once(self) -> float:
        try:
            if time.monotonic() - self._restored_at >= RESTORE_S:
                self.restore()
                self._restored_at = time.monotonic()
            return super()._look_once()
        except redis.ResponseError as error:
            logger.error("broker gives out no message error=%s", str(error).partition(" ")[0])
            return REFUSED_S

    def _most_urgent(self) -> Any:
        channel = self.channel
        # A sender's priority counts within its lane.
        steps = channel.priority_steps
        waiting = [(channel._q_for_pri(queue.name, step), queue.name) for queue in self.queues for step in steps]
        keys = (channel.unacked_key, channel.unacked_index_key, DEAD, *(key for key, _ in waiting))
        with channel.conn_or_acquire() as client:
            found = client.eval(TAKE, len(keys), *keys, *(lane for _, lane in waiting))
        if not found:
            return None
        item, length, *noted = found
        if not item:
            logger.error("message refused error=no message bytes=%d", length)
            return None
        tag, lane = noted[0], noted[1].decode()
        try:
            message = self._read(item, lane)
        except UNREADABLE as error:
            logger.error("message refused error=%s bytes=%d", type(error).__name__, length)
            self._move_to_dead(item, tag, lane)
            return None
        # Only noted in this process: the script has noted it in the server.
        Delivered.append(channel.qos, message, message.delivery_tag)
        return message

    def _read(self, item: bytes, lane: str) -> Any:
        """Raises one of `UNREADABLE` for what kombu could not put back either: it would lose and log it."""
        payload = json.loads(item)
        payload["headers"].pop(COMPRESSION, None)
        # The lane, whatever its sender called it.
        payload["properties"].setdefault("delivery_info", {}).update(routing_key=lane)
        payload["properties"]["delivery_tag"].encode()
        return self.channel.Message(payload, channel=self.channel)

    def _put_aside(self, message: Any) -> None:
        raw = json.dumps(message._raw).encode()
        self._move_to_dead(raw, message.delivery_tag, message.delivery_info["routing_key"])
        message.reject()

    def _move_to_dead(self, item: bytes, tag: bytes | str, lane: str) -> None:
        """In one step of the server."""
        with self.channel.conn_or_acquire() as client, client.pipeline() as pipe:
            pipe.lpush(DEAD, dead_entry(item, lane))
            self.channel.qos._remove_from_indices(tag, pipe)
            pipe.execute()
