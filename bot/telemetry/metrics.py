"""Every metric, with its words: METRICS is what the README's table is tested against.

Prometheus adds `_total` to counters. All durations are in seconds.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.telemetry.health import Health

PREFIX = "node_access_"
SWEEP_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
LAG_BUCKETS = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600)
STALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Kind(StrEnum):
    """What Prometheus makes of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it is documented. `name` is without the prefix."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


METRICS = (
    Metric("events", Kind.COUNTER, ("outcome",), "Events received from the queue: taken, or ignored"),
    Metric("looks", Kind.COUNTER, ("outcome",), "Times a request was compared with what Teams shows, by how it ended"),
    Metric("aws_calls", Kind.COUNTER, ("operation", "result"), "Calls made to AWS: ok, or the error code"),
    Metric("signals", Kind.COUNTER, ("verdict", "result"), "Decisions sent to AWS, by what came back"),
    Metric("clicks", Kind.COUNTER, ("verb", "outcome"), "Buttons pressed, by what the person was told"),
    Metric("teams_calls", Kind.COUNTER, ("kind", "result"), "Calls to Teams: ok, or what kept them from it"),
    Metric(
        "deliveries",
        Kind.COUNTER,
        ("kind", "result"),
        "Cards, notes and direct messages: delivered, postponed, capped, refused, skipped, or impossible for good",
    ),
    Metric(
        "refusals", Kind.COUNTER, ("kind", "problem"), "Cards, notes and direct messages that Teams refused, by why"
    ),
    Metric("sweep_seconds", Kind.HISTOGRAM, ("account", "region"), "How long one sweep took", SWEEP_BUCKETS),
    Metric(
        "sweep_last_success_timestamp_seconds",
        Kind.GAUGE,
        ("account", "region"),
        "When the last complete sweep ended, in seconds since 1970",
    ),
    Metric("open_requests", Kind.GAUGE, ("account", "region"), "Requests that have not ended, at the last sweep"),
    Metric("queue_lag_seconds", Kind.HISTOGRAM, (), "How long an event waited in the queue", LAG_BUCKETS),
    Metric("store_errors", Kind.COUNTER, (), "Times the store did not take or give a row"),
    Metric("loop_stall_seconds", Kind.HISTOGRAM, (), "How much too late the event loop ran", STALL_BUCKETS),
    Metric("check_ok", Kind.GAUGE, ("check",), "1 while a part answers, 0 after it did not"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}


class Telemetry:
    """The metrics, on a registry of the caller's, and the health that one of them shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = _counter(registry, "events")
        self.looks = _counter(registry, "looks")
        self.aws_calls = _counter(registry, "aws_calls")
        self.signals = _counter(registry, "signals")
        self.clicks = _counter(registry, "clicks")
        self.teams_calls = _counter(registry, "teams_calls")
        self.deliveries = _counter(registry, "deliveries")
        self.refusals = _counter(registry, "refusals")
        self.sweep_seconds = _histogram(registry, "sweep_seconds")
        self.sweep_last_success = _gauge(registry, "sweep_last_success_timestamp_seconds")
        self.open_requests = _gauge(registry, "open_requests")
        self.queue_lag = _histogram(registry, "queue_lag_seconds")
        self.store_errors = _counter(registry, "store_errors")
        self.loop_stall = _histogram(registry, "loop_stall_seconds")
        self.health = Health(_gauge(registry, "check_ok"))

    def swept(self, account: str, region: str, *, seconds: float, at: datetime) -> None:
        """Take note of a complete sweep."""
        self.sweep_seconds.labels(account=account, region=region).observe(seconds)
        self.sweep_last_success.labels(account=account, region=region).set(at.timestamp())


def _counter(registry: CollectorRegistry, name: str) -> Counter:
    metric = _BY_NAME[name]
    return Counter(PREFIX + name, metric.help, metric.labels, registry=registry)


def _gauge(registry: CollectorRegistry, name: str) -> Gauge:
    metric = _BY_NAME[name]
    return Gauge(PREFIX + name, metric.help, metric.labels, registry=registry)


def _histogram(registry: CollectorRegistry, name: str) -> Histogram:
    metric = _BY_NAME[name]
    return Histogram(PREFIX + name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
