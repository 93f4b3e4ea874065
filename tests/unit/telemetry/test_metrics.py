"""bot.telemetry: metrics, health and the loop's watch."""

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
    """A registry of the test's own."""
    return CollectorRegistry()


@pytest.fixture
def telemetry(registry: CollectorRegistry) -> Telemetry:
    return Telemetry(registry)


# --- metrics


def test_the_table_is_what_is_exposed(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """Every metric of the table is on the registry under its name, kind and words, and no other."""
    exposed = {(family.name, family.type, family.documentation) for family in registry.collect()}
    assert exposed == {(PREFIX + metric.name, metric.kind, metric.help) for metric in METRICS}


def test_every_metric_says_what_it_is() -> None:
    """A help text each; histograms have buckets of their own, in order."""
    for metric in METRICS:
        assert len(metric.help) > 20, metric
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM), metric
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric


def test_labels_are_those_of_the_table(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """What the program counts with is what the table documents."""
    shared = {metric.name: metric.labels for metric in METRICS}
    telemetry.clicks.labels(verb="approve", outcome="recorded").inc()
    assert shared["clicks"] == ("verb", "outcome")
    assert 'node_access_clicks_total{outcome="recorded",verb="approve"} 1.0' in generate_latest(registry).decode()
    with pytest.raises(ValueError, match="label"):
        telemetry.clicks.labels(person="somebody")


def test_two_programs_in_one_process_do_not_meet() -> None:
    """Nothing is registered globally: each has the registry that it was given."""
    Telemetry(CollectorRegistry())
    Telemetry(CollectorRegistry())


def test_a_sweep_is_told_by_length_and_moment(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """How long it took, and when it ended in seconds since 1970."""
    where = {"account": "111122223333", "region": "ap-northeast-1"}
    telemetry.swept(**where, seconds=1.5, at=datetime(2026, 4, 1, tzinfo=UTC))
    assert registry.get_sample_value("node_access_sweep_seconds_sum", where) == 1.5
    assert registry.get_sample_value("node_access_sweep_last_success_timestamp_seconds", where) == 1775001600


def test_what_the_program_uses_is_there(telemetry: Telemetry) -> None:
    """Every `telemetry.…` in the sources is something that Telemetry has."""
    used = {
        node.attr
        for path in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value).split(".")[-1] in {"telemetry", "_telemetry"}
    } - {"health", "logs", "loop", "metrics"}
    assert not [name for name in used if not hasattr(telemetry, name)]


def test_every_metric_is_fed(telemetry: Telemetry) -> None:
    """No metric stays at nothing for ever because nobody counts: each is used after it was made."""
    fed = {
        node.attr
        for path in (ROOT / "bot").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
        if ast.unparse(node.value).split(".")[-1] in {"telemetry", "_telemetry", "self" if path == METRICS_PY else ""}
    }
    assert vars(telemetry).keys() - fed == set()


# --- health


def test_what_is_expected_is_missing_until_it_answers(telemetry: Telemetry) -> None:
    """Ready is who has heard from everybody once."""
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


def test_who_answered_once_stays_ready(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """A queue that stumbles must not keep clicks from a program that can take them; the metric shows it."""
    health = telemetry.health
    health.expect("queue")
    health.succeeded("queue")
    assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 1
    health.failed("queue", "Timeout")
    assert health.missing() == {}
    assert registry.get_sample_value("node_access_check_ok", {"check": "queue"}) == 0


def test_what_nobody_expects_is_not_missing(telemetry: Telemetry) -> None:
    """A sweep that fails is shown, and readiness does not hang on it."""
    telemetry.health.failed("sweep", "Timeout")
    assert telemetry.health.missing() == {}


# --- the loop's watch


@pytest.mark.parametrize(("late", "expected"), [(0.0, 0.0), (0.25, 0.25), (-0.1, 0.0)])
async def test_a_late_wake_up_is_a_stall(
    registry: CollectorRegistry, telemetry: Telemetry, late: float, expected: float
) -> None:
    """By as much as the loop wakes a sleeper too late, it keeps everybody waiting."""
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds + late

    await LoopWatch(telemetry.loop_stall, monotonic=lambda: now, sleep=sleep).measure()
    assert registry.get_sample_value("node_access_loop_stall_seconds_sum") == pytest.approx(expected)
    assert registry.get_sample_value("node_access_loop_stall_seconds_count") == 1


async def test_the_watch_goes_on_until_cancelled(registry: CollectorRegistry, telemetry: Telemetry) -> None:
    """One measurement after the other, a period apart."""
    naps: list[float] = []

    class Enough(Exception):
        """The test has seen enough."""

    async def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) > 3:
            raise Enough

    with pytest.raises(Enough):
        await LoopWatch(telemetry.loop_stall, sleep=sleep).run()
    assert naps == [PERIOD] * 4
    assert registry.get_sample_value("node_access_loop_stall_seconds_count") == 3
