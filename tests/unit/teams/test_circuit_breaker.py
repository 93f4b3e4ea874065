"""Tests for bot.teams.outbound.circuit_breaker: calls into a conversation that hangs or fails stop for a while."""

from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.teams.outbound.circuit_breaker import BUSY_PAUSE, FIRST_PAUSE, IN_FLIGHT, LONGEST_PAUSE, CircuitBreaker
from bot.telemetry import Telemetry
from tests.fakes.clock import ManualClock

CHANNEL = "19:approvers@thread.tacv2"


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
def telemetry() -> Telemetry:
    """Return metrics and health of one test."""
    return Telemetry(CollectorRegistry())


@pytest.fixture
def circuit(clock: ManualClock, telemetry: Telemetry) -> CircuitBreaker:
    """Return a circuit breaker that has seen no failure."""
    return CircuitBreaker(clock, telemetry)


def fail(circuit: CircuitBreaker, error: BaseException | None = None) -> None:
    """Make one call fail."""
    error = error or ChatUnavailable("no_answer", ambiguous=True)
    with pytest.raises(type(error)), circuit.passing(CHANNEL):
        raise error


def wait(circuit: CircuitBreaker, conversation: str = CHANNEL) -> float:
    """Return the seconds until a call is allowed, or 0 if it is allowed now."""
    try:
        with circuit.passing(conversation):
            return 0.0
    except ChatThrottled as throttled:
        return throttled.retry_after


def test_concurrent_calls_into_a_conversation_are_limited(circuit: CircuitBreaker) -> None:
    """A call beyond the limit raises an error. Another conversation is not affected. A finished call makes room."""
    with ExitStack() as calls:
        for _ in range(IN_FLIGHT):
            calls.enter_context(circuit.passing(CHANNEL))
        assert wait(circuit) == BUSY_PAUSE
        assert wait(circuit, "19:leads@thread.tacv2") == 0.0
    assert wait(circuit) == 0.0


async def test_repeated_failures_double_the_pause_of_a_conversation(
    circuit: CircuitBreaker, clock: ManualClock
) -> None:
    """The pause after each failure in a row is twice as long, up to a minute."""
    pauses = []
    for _ in range(8):
        fail(circuit)
        pauses.append(wait(circuit))
        await clock.advance(pauses[-1])
    assert pauses == [FIRST_PAUSE, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


async def test_a_successful_call_resets_the_pause_of_a_conversation(
    circuit: CircuitBreaker, clock: ManualClock
) -> None:
    """The failure after the call counts as the first one in a row again."""
    for _ in range(3):
        fail(circuit)
        await clock.advance(wait(circuit))
    assert wait(circuit) == 0.0
    fail(circuit)
    assert wait(circuit) == FIRST_PAUSE


@pytest.mark.parametrize("answer", [ChatRefused(ChatProblem.BLOCKED), ChatThrottled(3)])
def test_a_throttled_or_refused_call_does_not_count_as_a_failure_of_the_conversation(
    circuit: CircuitBreaker, answer: Exception
) -> None:
    """Teams answered the throttled or refused call, so the conversation does not hang."""
    fail(circuit, answer)
    assert wait(circuit) == 0.0


def test_a_call_that_timed_out_counts_as_a_failure_of_the_conversation(circuit: CircuitBreaker) -> None:
    """Other calls into the conversation are then paused too."""
    fail(circuit, TimeoutError())
    assert wait(circuit) == FIRST_PAUSE


def test_concurrent_failures_of_a_conversation_count_as_one(circuit: CircuitBreaker) -> None:
    """Calls that fail at the same time are not failures in a row, so the pause is not doubled."""
    calls = [circuit.passing(CHANNEL) for _ in range(IN_FLIGHT)]
    for call in calls:
        call.__enter__()
    for call in calls:
        error = ChatUnavailable("no_answer", ambiguous=True)
        assert call.__exit__(type(error), error, None) is not True
    assert wait(circuit) == FIRST_PAUSE


async def test_a_clock_that_is_set_back_does_not_lengthen_the_pause_of_a_conversation(
    circuit: CircuitBreaker, clock: ManualClock
) -> None:
    """A remaining pause that is longer than the maximum is ignored."""
    await clock.advance(86400)
    fail(circuit)
    circuit._clock = ManualClock()
    assert wait(circuit) == 0.0


async def test_throttled_conversation_pauses_for_a_minute_at_most_and_is_then_probed_by_one_call(
    circuit: CircuitBreaker, clock: ManualClock
) -> None:
    """Teams may ask for hours: the pause is a minute at most. The longer of two pauses counts."""
    circuit.throttled(CHANNEL, 5.0)
    circuit.throttled(CHANNEL, float("inf"))
    circuit.throttled(CHANNEL, 1.0)
    assert wait(circuit) == LONGEST_PAUSE
    await clock.advance(LONGEST_PAUSE)
    with circuit.passing(CHANNEL):
        assert wait(circuit) == BUSY_PAUSE
    with circuit.passing(CHANNEL):
        assert wait(circuit) == 0.0


@pytest.mark.parametrize("why", ["throttled", "failing"])
async def test_paused_conversation_is_reported_as_a_problem_until_a_call_succeeds(
    circuit: CircuitBreaker, clock: ManualClock, telemetry: Telemetry, why: str
) -> None:
    """The metric counts the conversation at once, also between the end of the pause and the probe.

    It is a problem only if the probe fails, too: Teams often throttles, and one call now and then is lost.
    """
    for problems in ({}, {"conversations": why}):
        if why == "throttled":
            circuit.throttled(CHANNEL, 30.0)
        else:
            fail(circuit)
        assert telemetry.health.problems() == problems
        assert telemetry.conversations_closed._value.get() == 1
        await clock.advance(30)
    assert telemetry.conversations_closed._value.get() == 1
    assert wait(circuit) == 0.0
    assert telemetry.health.problems() == {}
    assert telemetry.conversations_closed._value.get() == 0


async def test_calls_that_are_throttled_at_the_same_time_are_no_problem(
    circuit: CircuitBreaker, telemetry: Telemetry
) -> None:
    """Three calls were open. Teams names a longer pause with each of its answers."""
    for seconds in (5.0, 6.0, 7.0):
        circuit.throttled(CHANNEL, seconds)
    assert telemetry.health.problems() == {}
    assert wait(circuit) == 7.0


async def test_paused_conversation_without_further_calls_does_not_stay_a_problem(
    circuit: CircuitBreaker, clock: ManualClock, telemetry: Telemetry
) -> None:
    """It is reported for ten minutes only: it can be the chat of a person who got one answer to a command."""
    for _ in range(2):
        circuit.throttled("19:leads@thread.tacv2", 5.0)
        await clock.advance(5)
    assert telemetry.health.problems() == {"conversations": "throttled"}
    await clock.advance(700)
    fail(circuit)
    assert wait(circuit) == FIRST_PAUSE
    await clock.advance(FIRST_PAUSE)
    assert wait(circuit) == 0.0
    assert telemetry.health.problems() == {}
