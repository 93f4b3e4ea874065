"""Makes calls to one DynamoDB table, and raises errors of `bot.ports.store` if they fail.

Calls block; any thread may make them. This module must not know what the table holds. Importing it, or constructing
`Calls`, starts nothing.
"""

import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from bot.boto.failures import CallFailed, Failure
from bot.boto.sdk import Call, Sdk
from bot.concurrency.backoff import backoff
from bot.ports.store import StoreDamaged, StoreUnavailable, StoreUncertain

Answer = Mapping[str, Any]
Put = Mapping[str, object]  # parameters of PutItem without the table: `Item`, and the members of its condition

CALL_SECONDS = 0.8  # to connect, and for an answer, which usually takes 0.01; a click needs time for a second try
THREADS = 16  # calls at once, and connections kept; each takes some milliseconds
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.4  # seconds between two tries, at most; the actual pause is random

MISSING: Final = "ResourceNotFoundException"
_CONDITION: Final = "ConditionalCheckFailedException"
_CANCELED: Final = "TransactionCanceledException"
# Why a transaction was canceled: one reason for each of its items, `None` for an item that was not the cause.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_CONDITION_REASON: Final = "ConditionalCheckFailed"
_TEMPORARY_REASONS: Final = frozenset(
    {"None", "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)


class DynamoError(StoreUnavailable):
    """A call failed. Repeating it does not help, unless it is NothingDone or ReplyLost.

    `code` is AWS's error code, or the name of the SDK's error.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class ConditionFailed(DynamoError):
    """The condition of a write does not hold, so the write had no effect."""


class NothingDone(DynamoError):
    """The call was throttled or never sent. It had no effect, and repeating it may help."""


class ReplyLost(DynamoError, StoreUncertain):
    """There was no answer, a 5xx, or an unreadable answer. Whether the call had an effect is unknown."""


class TableMissing(DynamoError, StoreDamaged):
    """There is no such table: it was deleted, or the name or the Region is wrong."""


class Patience:
    """The time left for repeating, with growing random pauses, so that writers do not repeat at the same moment."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._tries = 0

    def wait(self, problem: StoreUnavailable) -> None:
        """Pause before the next try; raise the problem if there is no time for one."""
        longest = backoff(self._tries, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
        pause = longest * random.uniform(0.1, 1)  # noqa: S311  (spreads writers; not for security)
        if time.monotonic() + pause > self._until:
            raise problem
        time.sleep(pause)
        self._tries += 1


class Calls:
    """Makes calls to one table; from any thread. `call_seconds` limits connecting, and the wait for an answer.

    `session` is a boto3 session, for credentials other than those of the standard chain.
    """

    def __init__(self, table: str, *, region: str, call_seconds: float = CALL_SECONDS, session: Any = None) -> None:
        self.table, self.region = table, region
        self._sdk = Sdk(seconds=call_seconds, connections=THREADS, session=session)

    def close(self) -> None:
        """Close all connections."""
        self._sdk.close()

    def once(self, operation: str, **params: object) -> Answer:
        """Make a call once. Raises DynamoError; ConditionFailed, NothingDone or ReplyLost where one applies."""
        return self._call(operation, TableName=self.table, **params)

    def put(self, first: Put, *others: Put) -> Answer:
        """Write one item, or several in one transaction, once. Raises as `once` does."""
        if not others:
            return self.once("put_item", **first)
        puts = [{"Put": {"TableName": self.table, **each}} for each in (first, *others)]
        return self._call("transact_write_items", TransactItems=puts)

    def put_repeated(self, patience: Patience, *puts: Put) -> Answer:
        """Repeat `put`, for items that may be written twice, as `repeated` does. Raises as `repeated` does."""
        return _repeated(patience, partial(self.put, *puts))

    def repeated(self, patience: Patience, operation: str, **params: object) -> Answer:
        """Repeat an idempotent call until it is answered or `patience` is over. Raises DynamoError, ConditionFailed."""
        return _repeated(patience, partial(self.once, operation, **params))

    def repeated_batch(self, patience: Patience, request: Mapping[str, object]) -> Answer:
        """Read many items; the answer may hold only some of them. Raises DynamoError."""
        return _repeated(patience, partial(self._call, "batch_get_item", RequestItems={self.table: request}))

    def _call(self, operation: str, **params: object) -> Answer:
        try:
            return self._sdk.call(Call("dynamodb", self.region, operation, params), None)
        except CallFailed as failed:
            if failed.code == MISSING:
                raise TableMissing(MISSING, f"there is no table {self.table} in {self.region}") from failed
            raise _dynamo_error(failed) from failed


def _repeated(patience: Patience, make: Callable[[], Answer]) -> Answer:
    while True:
        try:
            return make()
        except (NothingDone, ReplyLost) as problem:
            patience.wait(problem)


def part(answer: Answer, name: str) -> Any:
    """Return a member that every answer of DynamoDB has. Raises DynamoError if it is missing."""
    try:
        return answer[name]
    except KeyError:
        raise DynamoError("IncompleteAnswer", f"it has no {name}") from None


def _dynamo_error(failed: CallFailed) -> DynamoError:
    code, detail = failed.code, failed.detail
    if failed.failure in {Failure.NO_ANSWER, Failure.TIMED_OUT}:
        return ReplyLost(code, detail)
    if failed.failure in {Failure.NOT_SENT, Failure.THROTTLED} or _may_pass(failed):
        return NothingDone(code, detail)
    if code == _CONDITION or (code == _CANCELED and _CONDITION_REASON in failed.reasons):
        return ConditionFailed(code, detail)
    return DynamoError(code, detail)


def _may_pass(failed: CallFailed) -> bool:
    """Return True for a canceled transaction that may succeed if it is repeated."""
    return failed.code == _CANCELED and bool(failed.reasons) and _TEMPORARY_REASONS.issuperset(failed.reasons)
