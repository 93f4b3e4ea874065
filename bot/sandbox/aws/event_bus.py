"""Delivers the simulator's events to the queue like an EventBridge rule; tests can plan faults.

EventBridge may deliver an event late, twice, out of order or not at all. This module does not read the envelopes.
"""

import json
import threading
from enum import StrEnum
from typing import Any

from moto.sqs.models import sqs_backends

Envelope = dict[str, Any]


class Delivery(StrEnum):
    """How often, or when, an event is delivered."""

    ONCE = "once"
    TWICE = "twice"
    NEVER = "never"
    HELD = "held"  # until `release`


class EventBus:
    """Puts envelopes on one SQS queue."""

    def __init__(self, *, account: str, region: str, queue: str) -> None:
        self._account, self._region, self._queue = account, region, queue
        self._delivery, self._held, self._lock = Delivery.ONCE, list[Envelope](), threading.Lock()
        self.published: list[Envelope] = []  # including events that are not delivered

    def deliver(self, delivery: Delivery) -> None:
        """Set how events are delivered from now on."""
        self._delivery = delivery

    def release(self, *, reverse: bool = False) -> None:
        """Deliver the held events, in order or reversed. Later events are delivered immediately."""
        with self._lock:
            held, self._held, self._delivery = self._held, [], Delivery.ONCE
        for envelope in reversed(held) if reverse else held:
            self.send(json.dumps(envelope))

    def publish(self, envelope: Envelope) -> None:
        """Publish one event."""
        with self._lock:
            self.published.append(envelope)
            delivery = self._delivery
            if delivery is Delivery.HELD:
                self._held.append(envelope)
        copies = {Delivery.ONCE: 1, Delivery.TWICE: 2}.get(delivery, 0)
        for _ in range(copies):
            self.send(json.dumps(envelope, ensure_ascii=False))

    def send(self, body: str) -> None:
        """Put any text on the queue."""
        sqs_backends[self._account][self._region].send_message(self._queue, body)
