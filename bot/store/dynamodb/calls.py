"""Blocking calls to one DynamoDB table, and what the failure of one means. Knows nothing of what is in the table.

The only wrapper around boto3's untyped client in this room. Credentials, endpoint and proxies come from boto3's
standard chain. Importing or constructing starts nothing.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
"""

import json
import random
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

import boto3
from botocore import exceptions as botocore
from botocore.config import Config
from botocore.parsers import ResponseParserError

from bot.ports.store import StoreUnavailable, StoreUncertain

Answer = Mapping[str, Any]
Put = Mapping[str, object]  # what PutItem takes, but for the table: `Item`, and what its condition is made of

CALL_SECONDS = 0.8  # for a connection, and for an answer, which mostly takes 0.01; a second try must fit into a click
THREADS = 16  # calls at once, and connections kept; each takes some milliseconds
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 0.4  # seconds between two tries, at most; about half of it by chance
ERROR = 300  # HTTP statuses from here on are errors, which botocore raises by itself

# The SDK raises these before anything was sent.
_NOT_SENT: Final = (
    botocore.ConnectTimeoutError,
    botocore.CredentialRetrievalError,
    botocore.EndpointConnectionError,
    botocore.MetadataRetrievalError,
    botocore.ProxyConnectionError,
    botocore.SSOError,
)
# The same, and another try does not help.
_HOPELESS: Final = (
    botocore.NoCredentialsError,
    botocore.NoRegionError,
    botocore.ParamValidationError,
    botocore.PartialCredentialsError,
    botocore.ProfileNotFound,
)
# What a call may raise: the SDK's errors, and whatever its parsers trip over in an answer that has another form.
_RAISED: Final = (
    botocore.BotoCoreError,
    botocore.ClientError,
    ResponseParserError,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
)
_CONDITION: Final = "ConditionalCheckFailedException"
_CANCELED: Final = "TransactionCanceledException"
_IN_PROGRESS: Final = "TransactionInProgressException"  # AWS has the same call twice, and is at the first of them
# Why a transaction was canceled, one reason for each of its items; `None` where there was none against it.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_CONDITION_REASON: Final = "ConditionalCheckFailed"
_PASSING_REASONS: Final = frozenset({"None", "ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"})
_THROTTLED: Final = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "ThrottlingException",
        "TransactionConflictException",  # of a write alone, while a transaction is at its item
    }
)
_TOO_MANY = 429


class CallFailed(StoreUnavailable):
    """DynamoDB refused a call for good. `code` is AWS's error code, or the name of what went wrong on the way."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class ConditionFailed(CallFailed):
    """The condition of a write does not hold: it had no effect."""


class NothingDone(CallFailed):
    """The call was throttled, or never left: it had no effect, and another try may help."""


class ReplyLost(CallFailed, StoreUncertain):
    """No answer, or a 5xx, or one that cannot be read: nobody knows whether the call had an effect."""


class Patience:
    """How long something is tried again, with pauses that grow and differ, so that writers do not stay in step."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._pause = FIRST_PAUSE

    def wait(self, problem: StoreUnavailable) -> None:
        """Pause before the next try; raise the problem if there is no time for one."""
        pause = self._pause * random.uniform(0.1, 1)  # noqa: S311  (spreads writers, and guards nothing)
        if time.monotonic() + pause > self._until:
            raise problem
        time.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


class Calls:
    """Makes calls about one table; for any thread."""

    def __init__(
        self,
        table: str,
        *,
        region: str,
        call_seconds: float = CALL_SECONDS,
        session: boto3.session.Session | None = None,
    ) -> None:
        self.table, self.region = table, region
        self._call_seconds, self._session = call_seconds, session
        self._client: Any = None

    def connect(self) -> None:
        """Make the client; nothing is sent yet. Raises CallFailed."""
        config = Config(
            connect_timeout=self._call_seconds,
            read_timeout=self._call_seconds,
            retries={"total_max_attempts": 1},  # only the caller knows what may be made twice
            max_pool_connections=THREADS,
        )
        try:
            session = self._session or boto3.session.Session()
            client = session.client("dynamodb", region_name=self.region, config=config)
        except _RAISED as error:
            raise classified(error) from error
        client.meta.events.register("before-parse.dynamodb", _refuse_nonsense)
        self._client = client

    def close(self) -> None:
        """Close every connection."""
        if self._client is not None:
            self._client.close()

    def once(self, operation: str, **params: object) -> Answer:
        """Make a call about the table one time. Raises CallFailed, ConditionFailed, NothingDone or ReplyLost."""
        return self._made(operation, TableName=self.table, **params)

    def put(self, first: Put, *others: Put) -> Answer:
        """Write one item, or several of which all are there afterwards or none, one time. Raises as `once` does."""
        if not others:
            return self.once("put_item", **first)
        puts = [{"Put": {"TableName": self.table, **each}} for each in (first, *others)]
        return self._made("transact_write_items", TransactItems=puts)

    def repeated(self, patience: Patience, operation: str, **params: object) -> Answer:
        """Make a call that may be made twice, again until it is answered. Raises CallFailed, ConditionFailed."""
        return _repeated(patience, partial(self.once, operation, **params))

    def repeated_batch(self, patience: Patience, request: Mapping[str, object]) -> Answer:
        """Read many items of the table, some of them at least. Raises CallFailed."""
        return _repeated(patience, partial(self._made, "batch_get_item", RequestItems={self.table: request}))

    def _made(self, operation: str, **params: object) -> Answer:
        try:
            answer: Answer = getattr(self._client, operation)(**params)
        except _RAISED as error:
            raise classified(error) from error
        return answer


def _repeated(patience: Patience, make: Callable[[], Answer]) -> Answer:
    while True:
        try:
            return make()
        except (NothingDone, ReplyLost) as problem:
            patience.wait(problem)


def part(answer: Answer, name: str) -> Any:
    """Return a part that an answer always has. Raises CallFailed for one from something else than DynamoDB."""
    try:
        return answer[name]
    except KeyError:
        raise CallFailed("IncompleteAnswer", f"it has no {name}") from None


def _refuse_nonsense(response_dict: Mapping[str, Any], **_: object) -> None:
    """Raise for half of a body, and for a proxy's page: botocore takes both for an answer without members."""
    if response_dict["status_code"] < ERROR and not isinstance(json.loads(response_dict["body"]), dict):
        raise ResponseParserError("an answer in another language")


def classified(error: Exception) -> CallFailed:
    """Say what an error of the SDK means."""
    if isinstance(error, botocore.ClientError):
        return _answered(error.response)
    name, detail = type(error).__name__, str(error)
    if isinstance(error, _NOT_SENT):
        return NothingDone(name, detail)
    return CallFailed(name, detail) if isinstance(error, _HOPELESS) else ReplyLost(name, detail)


def _answered(response: Any) -> CallFailed:
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    told = response.get("Error", {})
    code, detail = str(told.get("Code") or f"HTTP {status}"), str(told.get("Message") or "")
    if not 400 <= status < 500:
        return ReplyLost(code, detail)  # a 5xx may come after the effect, whatever code it carries
    if code == _CANCELED:
        return _canceled({str(each.get("Code")) for each in response.get("CancellationReasons", ())}, detail)
    if code == _IN_PROGRESS:
        return ReplyLost(code, detail)
    if code == _CONDITION:
        return ConditionFailed(code, detail)
    if code in _THROTTLED or status == _TOO_MANY:
        return NothingDone(code, detail)
    return CallFailed(code, detail)


def _canceled(reasons: Collection[str], detail: str) -> CallFailed:
    """Say what it means that a transaction was canceled; in any case it had no effect."""
    if _CONDITION_REASON in reasons:
        return ConditionFailed(_CANCELED, detail)
    if reasons and _PASSING_REASONS.issuperset(reasons):
        return NothingDone(_CANCELED, detail)
    return CallFailed(_CANCELED, detail)
