"""Tests for bot.telemetry: metrics, health and the measurement of the event loop."""

import ast
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bot.telemetry import METRICS, LoopWatch, Telemetry
from bot.telemetry.health import NEVER_ANSWERED
from bot.telemetry.loop import PERIOD
from bot.telemetry.metrics import PREFIX, Kind

ROOT = Path(__file__).parents[3]
METRICS_PY = ROOT / "bot" / "telemetry" / "metrics.py"


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return a registry for one test."""
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry: CollectorRegistry) -> Telemetry:
    """Return the metrics and the health in this registry."""
    return Telemetry(registry)


# --- metrics


def test_exposed_metrics_are_the_documented_ones(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """The registry has exactly the metrics of METRICS, with name, kind and description."""
    exposed = {(family.name, family.type, family.documentation) for family in registry.collect()}
    assert exposed == {(PREFIX + metric.name, metric.kind, metric.help) for metric in METRICS}


def test_every_metric_has_a_description_and_its_buckets() -> None:
    """Only histograms have buckets, in ascending order."""
    for metric in METRICS:
        assert len(metric.help) > 20, metric
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM), metric
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric


def test_metrics_have_the_documented_labels(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """Each metric has the labels of METRICS. Any other label raises an error."""
    made = {vars(each)["_name"]: vars(each)["_labelnames"] for each in registry._collector_to_names}
    assert made == {PREFIX + metric.name: metric.labels for metric in METRICS}
    telemetry.clicks.labels(verb="approve", outcome="recorded").inc()
    assert 'node_access_clicks_total{outcome="recorded",verb="approve"} 1.0' in generate_latest(registry).decode()
    with pytest.raises(ValueError, match="label"):
        telemetry.clicks.labels(person="somebody")


def test_two_sets_of_metrics_can_be_made_in_one_process() -> None:
    """Each program uses the registry that it is given, not a global one."""
    Telemetry(CollectorRegistry())
    Telemetry(CollectorRegistry())


def test_sweep_records_its_duration_and_end(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """The duration is in seconds, the end in seconds since 1970."""
    where = {"account": "111122223333", "region": "ap-northeast-1"}
    telemetry.swept(**where, seconds=1.5, at=datetime(2026, 4, 1, tzinfo=UTC))
    assert registry.get_sample_value("node_access_sweep_seconds_sum", where) == 1.5
    assert registry.get_sample_value("node_access_sweep_last_success_timestamp_seconds", where) == 1775001600


def test_every_used_metric_exists(telemetry: Telemetry) -> None:
    """Each `telemetry.…` in the sources is an attribute of Telemetry."""
    used = {
        node.attr
        for path in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] in {"telemetry", "_telemetry"}
    } - {"health", "logs", "loop", "metrics"}
    assert not [name for name in used if not hasattr(telemetry, name)]


def test_every_metric_is_used(telemetry: Telemetry) -> None:
    """A metric that no code updates would stay at zero."""
    fed = {
        node.attr
        for path in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        if ast.unparse(node.value).split(".")[-1] in {"telemetry", "_telemetry", "self" if path == METRICS_PY else ""}
    }
    assert vars(telemetry).keys() - fed == set()


# --- health


def test_expected_part_of_the_bot_is_missing_until_its_first_answer(telemetry: Telemetry) -> None:
    """The program is ready once every expected part has answered."""
    health = telemetry.health
    assert health.missing() == {}
    health.expect("queue")
    health.expect("keys")
    assert health.missing() == {"queue": NEVER_ANSWERED, "keys": NEVER_ANSWERED}
    health.failed("queue", "AccessDenied")
    health.expect("queue")
    assert health.missing() == {"queue": "AccessDenied", "keys": NEVER_ANSWERED}
    health.succeeded("queue")
    health.succeeded("keys")
    assert health.missing() == {}


def test_part_of_the_bot_that_answered_once_is_not_missing_after_a_failure(
    registry: CollectorRegistry, telemetry: Telemetry
) -> None:
    """If the queue fails later, the metric shows it, but the program stays ready, because clicks still work."""
    health = telemetry.health
    health.expect("queue")
    health.succeeded("queue")
    assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 1
    health.failed("queue", "Timeout")
    assert health.missing() == {}
    assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 0


def test_failure_of_a_part_that_is_not_expected_does_not_affect_readiness(telemetry: Telemetry) -> None:
    """A failed sweep is reported as a problem, but the program stays ready."""
    telemetry.health.failed("sweep", "Timeout")
    assert telemetry.health.missing() == {}
    assert telemetry.health.problems() == {"sweep": "Timeout"}


# --- the event loop


@pytest.mark.parametrize(("late", "expected"), [(0.0, 0.0), (0.25, 0.25), (-0.1, 0.0)])
async def test_late_wake_up_is_recorded_as_a_stall(
    registry: CollectorRegistry, telemetry: Telemetry, late: float, expected: float
) -> None:
    """The stall is as long as the wake-up is late. An early wake-up is a stall of zero seconds."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + late

    await LoopWatch(telemetry.loop_stall, monotonic=lambda: now, sleep=sleep).measure()
    assert registry.get_sample_value("node_access_loop_stall_seconds_sum") == pytest.approx(expected)
    assert registry.get_sample_value("node_access_loop_stall_seconds_count") == 1


async def test_loop_watch_measures_until_cancelled(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """Each measurement sleeps for one period."""
    naps: list[float] = []

    class Enough(Exception):
        """Raised to end the endless loop under test."""

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) > 3:
            raise Enough

    with pytest.raises(Enough):
        await LoopWatch(telemetry.loop_stall, sleep=sleep).run()
    assert naps == [PERIOD] * 4
    assert registry.get_sample_value("node_access_loop_stall_seconds_count") == 3
