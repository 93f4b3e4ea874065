"""The circuit breaker: operations that time out get one call at a time."""

from contextlib import ExitStack

import pytest

from bot.aws.calls.circuit_breaker import PATIENCE, CircuitBreaker
from bot.aws.calls.rate_limit import Quota
from bot.boto.failures import CallFailed, Failure

HERE = Quota("111122223333", "ap-northeast-1", "ssm", "get_ops_item")
THERE = Quota("444455556666", "ap-northeast-1", "ssm", "get_ops_item")


def failed(hanging: CircuitBreaker, quota: Quota, failure: Failure) -> None:
    """Make a call that fails."""
    with pytest.raises(CallFailed), hanging.guard(quota):
        raise CallFailed("ReadTimeoutError", failure)


@pytest.fixture
def hanging() -> CircuitBreaker:
    """An operation that has timed out several times."""
    found = CircuitBreaker()
    for _ in range(PATIENCE):
        failed(found, HERE, Failure.TIMED_OUT)
    return found


def test_open_circuit_allows_one_call_at_a_time(hanging: CircuitBreaker) -> None:
    """The second call is refused at once, and does not count."""
    with hanging.guard(HERE):
        for _ in range(2):
            with pytest.raises(CallFailed) as refused, hanging.guard(HERE):
                pytest.fail("it was let through")
            assert (refused.value.code, refused.value.failure) == ("NotAnswering", Failure.TIMED_OUT)


def test_open_circuit_does_not_affect_other_quotas(hanging: CircuitBreaker) -> None:
    """Another account and another operation are called as usual."""
    with hanging.guard(HERE), ExitStack() as stack:
        for quota in (THERE, THERE, Quota(*(HERE.account, HERE.region, "ssm", "get_document"))):
            stack.enter_context(hanging.guard(quota))


@pytest.mark.parametrize("failure", [None, Failure.THROTTLED, Failure.DENIED, Failure.NO_ANSWER])
def test_any_answer_closes_the_circuit(hanging: CircuitBreaker, failure: Failure | None) -> None:
    """An error other than a time-out is an answer too."""
    if failure:
        failed(hanging, HERE, failure)
    else:
        with hanging.guard(HERE):
            pass
    with hanging.guard(HERE), hanging.guard(HERE):
        pass


def test_few_time_outs_in_a_row_refuse_no_call() -> None:
    """Fewer than PATIENCE time-outs in a row do not open the circuit."""
    hanging = CircuitBreaker()
    for _ in range(5):
        for _ in range(PATIENCE - 1):
            failed(hanging, HERE, Failure.TIMED_OUT)
        with hanging.guard(HERE), hanging.guard(HERE):
            pass
