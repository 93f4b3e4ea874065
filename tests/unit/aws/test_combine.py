"""Tests for merging the statuses of OpsItem and execution into the status of the request."""

import itertools

import pytest

from bot.aws.jit.combine import merge_status
from bot.domain.request import Status

S = Status
SAID = [each for each in S if each is not S.GONE]  # GONE is not a status of AWS
ENDS = [S.REJECTED, S.TIMED_OUT, S.CANCELLED, S.FAILED]


def expected(ops_item: Status, execution: Status | None) -> Status:
    table: dict[tuple[Status, Status | None], Status] = {
        (S.PENDING, S.UNKNOWN): S.UNKNOWN,
        **{(S.APPROVED, end): S.UNKNOWN for end in ENDS},
        **{(S.PENDING, end): end for end in ENDS},
        **{(S.UNKNOWN, end): end for end in [*ENDS, S.APPROVED, S.REVOKED]},
        **{(S.FAILED, end): end for end in ENDS},
        (S.PENDING, S.REVOKED): S.REVOKED,
    }
    return table.get((ops_item, execution), ops_item)


@pytest.mark.parametrize(("ops_item", "execution"), list(itertools.product(SAID, [*SAID, None])))
def test_status_of_a_request_follows_the_table_for_every_pair_of_ops_item_and_execution(
    ops_item: Status, execution: Status | None
) -> None:
    """`expected` has the table in the docstring of `combine.py`, which leaves out executions that are revoked."""
    assert merge_status(ops_item, execution) is expected(ops_item, execution)


@pytest.mark.parametrize("execution", [*S, None])
def test_request_with_a_pending_ops_item_is_never_approved(execution: Status | None) -> None:
    """No status of the execution makes the request approved before the OpsItem grants access."""
    assert merge_status(S.PENDING, execution) is not S.APPROVED
