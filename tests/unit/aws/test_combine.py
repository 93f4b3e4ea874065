"""The table of two witnesses, every pair of it."""

import itertools

import pytest

from bot.aws.jit.combine import merge_status
from bot.domain.request import Status

S = Status
SAID = [each for each in S if each is not S.GONE]  # AWS has no word for what it does not show
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
def test_every_pair_of_words_has_its_meaning(ops_item: Status, execution: Status | None) -> None:
    """What the module's table says holds for each of the pairs."""
    assert merge_status(ops_item, execution) is expected(ops_item, execution)


@pytest.mark.parametrize("execution", [*S, None])
def test_nothing_is_approved_unless_the_ops_item_says_so(execution: Status | None) -> None:
    """An execution that succeeded is no access yet."""
    assert merge_status(S.PENDING, execution) is not S.APPROVED
