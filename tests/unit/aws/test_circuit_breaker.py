"""Tests for the circuit breaker: an operation that times out repeatedly gets only one call at a time."""

from contextlib import ExitStack

import pytest

from bot.aws.calls.circuit_breaker import PATIENCE, CircuitBreaker
from bot.aws.calls.rate_limit import Quota
from bot.boto.failures import CallFailed, Failure

HERE = Quota("111122223333", "ap-northeast-1", "ssm", "get_ops_item")
THERE = Quota("444455556666", "ap-northeast-1", "ssm", "get_ops_item")


def failed(breaker: CircuitBreaker, quota: Quota, failure: Failure) -> None:
    """Make a call that fails."""
    with pytest.raises(CallFailed), breaker.guard(quota):
        raise CallFailed("ReadTimeoutError", failure)


@pytest.fixture
def breaker() -> CircuitBreaker:
    """Return an open circuit breaker: the operation of HERE has timed out PATIENCE times."""
    found = CircuitBreaker()
    for _ in range(PATIENCE):
        failed(found, HERE, Failure.TIMED_OUT)
    return found


def test_open_circuit_breaker_allows_one_call_at_a_time(breaker: CircuitBreaker) -> None:
    """While one call runs, other calls of the operation are refused. The error has the code NotAnswering."""
    with breaker.guard(HERE):
        for _ in range(2):
            with pytest.raises(CallFailed) as refused, breaker.guard(HERE):
                pytest.fail("the call was allowed")
            assert (refused.value.code, refused.value.failure) == ("NotAnswering", Failure.TIMED_OUT)


def test_open_circuit_breaker_does_not_affect_other_accounts_and_operations(breaker: CircuitBreaker) -> None:
    """Calls for another account and calls of another operation still pass."""
    with breaker.guard(HERE), ExitStack() as stack:
        for quota in (THERE, THERE, Quota(*(HERE.account, HERE.region, "ssm", "get_document"))):
            stack.enter_context(breaker.guard(quota))


@pytest.mark.parametrize("failure", [None, *(each for each in Failure if each is not Failure.TIMED_OUT)])
def test_any_result_but_a_time_out_closes_the_circuit_breaker(breaker: CircuitBreaker, failure: Failure | None) -> None:
    """After a success or another error, concurrent calls are allowed again."""
    if failure:
        failed(breaker, HERE, failure)
    else:
        with breaker.guard(HERE):
            pass
    with breaker.guard(HERE), breaker.guard(HERE):
        pass


def test_circuit_breaker_stays_closed_after_few_time_outs() -> None:
    """Fewer than PATIENCE time-outs in a row do not open it. A successful call resets the count."""
    breaker = CircuitBreaker()
    for _ in range(5):
        for _ in range(PATIENCE - 1):
            failed(breaker, HERE, Failure.TIMED_OUT)
        with breaker.guard(HERE), breaker.guard(HERE):
            pass
