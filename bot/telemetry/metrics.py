"""Every metric, with its description. A test compares METRICS with the table of infra/docs/operations.md.

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
WAIT_BUCKETS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
STALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Kind(StrEnum):
    """The Prometheus type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One documented metric. `name` is without PREFIX; only histograms have `buckets`."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


METRICS = (
    Metric("events", Kind.COUNTER, ("outcome",), "Events received from the queue: taken or ignored"),
    Metric(
        "request_events",
        Kind.COUNTER,
        ("account", "region"),
        "Events of requests taken from the queue, by their origin",
    ),
    Metric("looks", Kind.COUNTER, ("outcome",), "Reconciles: a request was compared with what Teams shows; by result"),
    Metric("aws_calls", Kind.COUNTER, ("operation", "result"), "Calls to AWS: ok, or the error code"),
    Metric("signals", Kind.COUNTER, ("verdict", "result"), "Decisions sent to AWS, by the answer"),
    Metric("session_ends", Kind.COUNTER, ("result",), "Sessions that people ended, by the result"),
    Metric("clicks", Kind.COUNTER, ("verb", "outcome"), "Clicks on buttons, by the answer that the person got"),
    Metric("refreshes", Kind.COUNTER, ("outcome",), "Automatic refreshes of cards, by the view that the person got"),
    Metric(
        "activities",
        Kind.COUNTER,
        ("result",),
        "Requests to /api/messages: accepted, turned_away, or the reason for refusing them",
    ),
    Metric("teams_calls", Kind.COUNTER, ("kind", "result"), "Calls to Teams: ok, or the problem"),
    Metric(
        "deliveries",
        Kind.COUNTER,
        ("kind", "result"),
        "Cards, notes, digests, messages to requesters (living: updated, direct: sent once): delivered, postponed, "
        "capped, refused, skipped or impossible",
    ),
    Metric(
        "refusals",
        Kind.COUNTER,
        ("kind", "problem"),
        "Cards, notes and direct messages that Teams refused for a minute, by problem",
    ),
    Metric(
        "roster_problems",
        Kind.COUNTER,
        ("problem",),
        "Channels whose members Teams refuses or returns without what the bot needs, each counted when it begins",
    ),
    Metric(
        "sweeps",
        Kind.COUNTER,
        ("account", "region", "outcome"),
        "Sweeps: done, failed, or skipped because another process makes them",
    ),
    Metric("sweep_seconds", Kind.HISTOGRAM, ("account", "region"), "Duration of one sweep, in seconds", SWEEP_BUCKETS),
    Metric(
        "sweep_last_success_timestamp_seconds",
        Kind.GAUGE,
        ("account", "region"),
        "End of the last complete sweep, in seconds since 1970",
    ),
    Metric(
        "open_requests", Kind.GAUGE, ("account", "region"), "Requests that wait for a decision, as of the last sweep"
    ),
    Metric("queue_lag_seconds", Kind.HISTOGRAM, (), "Time that an event waited in the queue, in seconds", LAG_BUCKETS),
    Metric(
        "request_to_card_seconds",
        Kind.HISTOGRAM,
        (),
        "Time from a request in AWS to its first card in Teams, in seconds",
        WAIT_BUCKETS,
    ),
    Metric(
        "request_to_decision_seconds",
        Kind.HISTOGRAM,
        ("status",),
        "Time from a request in AWS to its approval or rejection, in Teams or elsewhere, in seconds",
        WAIT_BUCKETS,
    ),
    Metric(
        "click_to_confirmed_seconds",
        Kind.HISTOGRAM,
        ("verdict",),
        "Time from a click to AWS's answer that it accepts the decision, in seconds",
        LAG_BUCKETS,
    ),
    Metric("conversations_closed", Kind.GAUGE, (), "Conversations in Teams that fail or are throttled, and are probed"),
    Metric("store_errors", Kind.COUNTER, (), "Failed reads and writes of the store"),
    Metric(
        "audit_given_up", Kind.COUNTER, (), "Clicks that are only in the log, because too many waited for the store"
    ),
    Metric("loop_stall_seconds", Kind.HISTOGRAM, (), "Delay of the event loop, in seconds", STALL_BUCKETS),
    Metric(
        "token_expiry_timestamp_seconds",
        Kind.GAUGE,
        (),
        "End of the token for calls to Teams, in seconds since 1970; it is renewed ten minutes earlier",
    ),
    Metric("build_info", Kind.GAUGE, ("version",), "1, with the version of the bot that runs"),
    Metric("check_ok", Kind.GAUGE, ("check",), "1 if the last attempt of this part succeeded, 0 if it failed"),
)
_BY_NAME = {metric.name: metric for metric in METRICS}


class Telemetry:
    """All metrics, on the given registry, and the health checks, whose results the metric `check_ok` shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = _counter(registry, "events")
        self.request_events = _counter(registry, "request_events")
        self.reconciliations = _counter(registry, "looks")
        self.aws_calls = _counter(registry, "aws_calls")
        self.signals = _counter(registry, "signals")
        self.session_ends = _counter(registry, "session_ends")
        self.clicks = _counter(registry, "clicks")
        self.refreshes = _counter(registry, "refreshes")
        self.activities = _counter(registry, "activities")
        self.teams_calls = _counter(registry, "teams_calls")
        self.deliveries = _counter(registry, "deliveries")
        self.refusals = _counter(registry, "refusals")
        self.roster_problems = _counter(registry, "roster_problems")
        self.sweeps = _counter(registry, "sweeps")
        self.sweep_seconds = _histogram(registry, "sweep_seconds")
        self.sweep_last_success = _gauge(registry, "sweep_last_success_timestamp_seconds")
        self.open_requests = _gauge(registry, "open_requests")
        self.queue_lag = _histogram(registry, "queue_lag_seconds")
        self.request_to_card = _histogram(registry, "request_to_card_seconds")
        self.request_to_decision = _histogram(registry, "request_to_decision_seconds")
        self.click_to_confirmed = _histogram(registry, "click_to_confirmed_seconds")
        self.conversations_closed = _gauge(registry, "conversations_closed")
        self.store_errors = _counter(registry, "store_errors")
        self.audit_given_up = _counter(registry, "audit_given_up")
        self.loop_stall = _histogram(registry, "loop_stall_seconds")
        self.token_expiry = _gauge(registry, "token_expiry_timestamp_seconds")
        self.build_info = _gauge(registry, "build_info")
        self.health = Health(_gauge(registry, "check_ok"))

    def swept(self, account: str, region: str, *, seconds: float, at: datetime) -> None:
        """Record the duration and the end (`at`) of a complete sweep."""
        self.sweep_seconds.labels(account=account, region=region).observe(seconds)
        self.sweep_last_success.labels(account=account, region=region).set(at.timestamp())


def observe_wait(histogram: Histogram, since: datetime, until: datetime) -> None:
    """Record a time between two moments. It counts as none if `until` is earlier: clocks differ."""
    histogram.observe(max(0.0, (until - since).total_seconds()))


def _counter(registry: CollectorRegistry, name: str) -> Counter:
    metric = _BY_NAME[name]
    return Counter(PREFIX + name, metric.help, metric.labels, registry=registry)


def _gauge(registry: CollectorRegistry, name: str) -> Gauge:
    metric = _BY_NAME[name]
    return Gauge(PREFIX + name, metric.help, metric.labels, registry=registry)


def _histogram(registry: CollectorRegistry, name: str) -> Histogram:
    metric = _BY_NAME[name]
    return Histogram(PREFIX + name, metric.help, metric.labels, registry=registry, buckets=metric.buckets)
