"""Tests for bot.telemetry.health: what is missing, which checks failed, and one log event per change."""

from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from bot.telemetry import Telemetry


def test_expected_part_of_the_bot_is_missing_only_until_it_answers_once() -> None:
    """A part that fails after its first answer is a problem, but it is not missing again."""
    health = Telemetry(CollectorRegistry()).health
    health.expect("queue")
    health.failed("queue", "AccessDenied")
    assert health.missing() == {"queue": "AccessDenied"}
    health.succeeded("queue")
    health.failed("queue", "Throttled")
    assert (health.missing(), health.problems()) == ({}, {"queue": "Throttled"})


def test_part_that_may_fail_once_is_a_problem_after_two_failures_in_a_row() -> None:
    """One call of thousands fails for no reason. A part that has never answered is missing after its first failure."""
    health = Telemetry(CollectorRegistry()).health
    health.expect("queue")
    health.failed("queue", "AccessDenied", may_pass=True)
    assert health.missing() == health.problems() == {"queue": "AccessDenied"}
    with capture_logs() as lines:
        for _ in range(3):
            health.succeeded("queue")
            health.failed("queue", "InternalError", may_pass=True)
            assert health.problems() == {}
        health.failed("queue", "InternalError", may_pass=True)
    assert health.problems() == {"queue": "InternalError"}
    assert [line["event"] for line in lines] == ["problem_ended", "problem_began"]


def test_each_change_of_a_failing_check_is_one_log_event() -> None:
    """A check that fails every few seconds is logged when it begins, when its code changes, and when it ends."""
    health = Telemetry(CollectorRegistry()).health
    with capture_logs() as lines:
        for code in ("Throttled", "Throttled", "AccessDenied", "AccessDenied"):
            health.failed("queue", code)
        health.succeeded("queue")
        health.succeeded("queue")
    assert [(line["event"], line["check"], line.get("code")) for line in lines] == [
        ("problem_began", "queue", "Throttled"),
        ("problem_began", "queue", "AccessDenied"),
        ("problem_ended", "queue", None),
    ]
