"""bot.teams.outbound.circuit_breaker: a conversation that hangs or fails is closed, and no other."""

from contextlib import ExitStack

import pytest

from bot.ports.teams import ChatProblem, ChatRefused, ChatThrottled, ChatUnavailable
from bot.teams.outbound.circuit_breaker import BUSY_PAUSE, FIRST_PAUSE, IN_FLIGHT, LONGEST_PAUSE, CircuitBreaker
from tests.fakes.clock import ManualClock

CHANNEL = "19:approvers@thread.tacv2"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def circuit(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(circuit: CircuitBreaker, error: BaseException | None = None) -> None:
    """Make one call fail."""
    error = error or ChatUnavailable("no_answer", ambiguous=True)
    with pytest.raises(type(error)), circuit.passing(CHANNEL):
        raise error


def wait(circuit: CircuitBreaker, conversation: str = CHANNEL) -> float:
    """Return the seconds until a call may pass; 0 if it passes now."""
    try:
        with circuit.passing(conversation):
            return 0.0
    except ChatThrottled as throttled:
        return throttled.retry_after


def test_only_some_calls_into_a_conversation_run_at_once(circuit: CircuitBreaker) -> None:
    """The next call raises; another conversation is open, and so is this one when a call has ended."""
    with ExitStack() as calls:
        for _ in range(IN_FLIGHT):
            calls.enter_context(circuit.passing(CHANNEL))
        assert wait(circuit) == BUSY_PAUSE
        assert wait(circuit, "19:leads@thread.tacv2") == 0.0
    assert wait(circuit) == 0.0


async def test_failures_close_it_for_longer_and_longer(circuit: CircuitBreaker, clock: ManualClock) -> None:
    """The pause doubles, up to a minute."""
    pauses = []
    for _ in range(8):
        fail(circuit)
        pauses.append(wait(circuit))
        await clock.advance(pauses[-1])
    assert pauses == [FIRST_PAUSE, 4.0, 8.0, 16.0, 32.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]


async def test_a_successful_call_opens_it_again(circuit: CircuitBreaker, clock: ManualClock) -> None:
    """The next failure counts as the first."""
    for _ in range(3):
        fail(circuit)
        await clock.advance(wait(circuit))
    assert wait(circuit) == 0.0
    fail(circuit)
    assert wait(circuit) == FIRST_PAUSE


@pytest.mark.parametrize("answer", [ChatRefused(ChatProblem.BLOCKED), ChatThrottled(3)])
def test_an_error_response_is_no_failure(circuit: CircuitBreaker, answer: Exception) -> None:
    """Throttled and refused calls were answered."""
    fail(circuit, answer)
    assert wait(circuit) == 0.0


def test_a_cancelled_call_is_a_failure(circuit: CircuitBreaker) -> None:
    """A caller that gave up closes the conversation for the others."""
    fail(circuit, TimeoutError())
    assert wait(circuit) == FIRST_PAUSE


def test_calls_that_fail_side_by_side_are_one_failure(circuit: CircuitBreaker) -> None:
    """Three hanging calls count as one failure, not as three in a row."""
    calls = [circuit.passing(CHANNEL) for _ in range(IN_FLIGHT)]
    for call in calls:
        call.__enter__()
    for call in calls:
        error = ChatUnavailable("no_answer", ambiguous=True)
        assert call.__exit__(type(error), error, None) is not True
    assert wait(circuit) == FIRST_PAUSE


async def test_a_clock_that_is_set_back_closes_nothing_for_long(circuit: CircuitBreaker, clock: ManualClock) -> None:
    """A pause that is longer than the maximum is ignored."""
    await clock.advance(86400)
    fail(circuit)
    circuit._clock = ManualClock()
    assert wait(circuit) == 0.0
