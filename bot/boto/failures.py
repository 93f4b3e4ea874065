"""Classifies the failure of one call: was it sent, can it have had an effect, may it be repeated. Sans-IO.

If the effect is uncertain, the class is NO_ANSWER or TIMED_OUT.
"""

from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from bot.boto.fields import mapping, rows, text
from bot.ports.aws import AwsThrottled, AwsUnavailable


class Failure(StrEnum):
    """The class of a failed call: why it failed, and whether it can have had an effect."""

    NOT_SENT = "not_sent"  # no connection, or the credentials could not be fetched: no effect
    NOT_CONFIGURED = "not_configured"  # no usable credentials, profile, file or Region: nothing was sent
    THROTTLED = "throttled"  # rejected by a rate limit: no effect
    EXPIRED = "expired"  # the credentials are too old: no effect, and new ones help
    DENIED = "denied"  # no permission: no effect
    REFUSED = "refused"  # another error in the request: no effect
    NO_ANSWER = "no_answer"  # 5xx, connection lost, unreadable answer: the effect is unknown
    TIMED_OUT = "timed_out"  # no answer within the time limit: the effect is unknown


class CallFailed(Exception):
    """One call failed. `code` is AWS's error code, or the name of the SDK's error.

    `detail` is the SDK's message. It may quote the answer, so it is not part of this error's text. `reasons` say why a
    DynamoDB transaction was canceled, one code per item. `address` is the endpoint, if there was no connection to it.
    """

    def __init__(
        self,
        code: str,
        failure: Failure,
        *,
        detail: str = "",
        reasons: tuple[str, ...] = (),
        address: str | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.failure = code, failure
        self.detail, self.reasons, self.address = detail, reasons, address


# Errors that the SDK raises before it has sent anything.
_NOT_SENT: Final = (
    botocore.ConnectTimeoutError,
    botocore.CredentialRetrievalError,
    botocore.EndpointConnectionError,
    botocore.MetadataRetrievalError,
    botocore.ProxyConnectionError,
    botocore.SSOError,
)
# Errors that the SDK raises before it has sent anything, and that a repeated call seldom avoids.
_NOT_CONFIGURED: Final = (
    botocore.ConfigNotFound,
    botocore.ConfigParseError,
    botocore.InvalidConfigError,
    botocore.NoCredentialsError,
    botocore.NoRegionError,
    botocore.PartialCredentialsError,
    botocore.ProfileNotFound,
    botocore.UnknownCredentialError,
)
# Errors that a call may raise: the SDK's, and those of its parsers for an answer of an unexpected form.
RAISED: Final = (
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
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html, and those of EC2, SQS and STS
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_THROTTLED: Final = frozenset(
    {
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflictException",  # DynamoDB: a transaction is writing the item of this single write
    }
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
# AWS does not know the credentials: the key was deleted, or its session was ended.
_UNKNOWN_CREDENTIALS: Final = frozenset(
    {
        "AuthFailure",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
UNKNOWN_OR_EXPIRED: Final = _UNKNOWN_CREDENTIALS | _EXPIRED
_DENIED: Final = _UNKNOWN_CREDENTIALS | {
    "AccessDenied",
    "AccessDeniedException",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "UnauthorizedOperation",
}
# Answered with status 400 although the effect is unknown.
_UNCERTAIN: Final = frozenset(
    {
        "RequestTimeout",
        "RequestTimeoutException",
        "TransactionInProgressException",  # DynamoDB received the same call twice and has not finished the first
    }
)
_TOO_MANY, _FORBIDDEN = 429, frozenset({401, 403, 407})


def classify(error: Exception) -> CallFailed:
    """Return the CallFailed for an error of `RAISED`."""
    name, detail = type(error).__name__, str(error)
    match error:
        case botocore.ClientError():
            return _answered(error)
        case botocore.ParamValidationError():
            return CallFailed(name, Failure.REFUSED, detail=detail)
        case botocore.ReadTimeoutError():
            return CallFailed(name, Failure.TIMED_OUT, detail=detail)
    if isinstance(error, _NOT_CONFIGURED):
        return CallFailed(name, Failure.NOT_CONFIGURED, detail=detail)
    failure = Failure.NOT_SENT if isinstance(error, _NOT_SENT) else Failure.NO_ANSWER
    return CallFailed(name, failure, detail=detail, address=_address(error))


def _address(error: Exception) -> str | None:
    """Return scheme, host and port of the endpoint that an error of the SDK names; None if it names none."""
    url = text(mapping(getattr(error, "kwargs", None)).get("endpoint_url"))
    try:
        parts = urlsplit(url or "")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.hostname else None


def _answered(error: botocore.ClientError) -> CallFailed:
    response = mapping(error.response)
    status = mapping(response.get("ResponseMetadata")).get("HTTPStatusCode")
    problem = mapping(response.get("Error"))
    code = text(problem.get("Code")) or f"HTTP {status}"
    return CallFailed(
        code,
        _by_code(code, status if isinstance(status, int) else 0),
        detail=text(problem.get("Message")) or "",
        reasons=tuple(text(each.get("Code")) or "None" for each in rows(response.get("CancellationReasons"))),
    )


def _by_code(code: str, status: int) -> Failure:
    if not 400 <= status < 500 or code in _UNCERTAIN:
        return Failure.NO_ANSWER  # even a 5xx with a known code may come after the effect
    if code in _THROTTLED or status == _TOO_MANY:
        return Failure.THROTTLED
    if code in _EXPIRED:
        return Failure.EXPIRED
    return Failure.DENIED if code in _DENIED or status in _FORBIDDEN else Failure.REFUSED


def is_denied(failed: CallFailed) -> bool:
    """Return True if AWS itself denied the call, so that it had no effect. False for the 403 of a proxy."""
    return failed.failure is Failure.DENIED and failed.code in _DENIED


def concerns_credentials(failed: CallFailed) -> bool:
    """Return True if the credentials are the cause, so that the call had no effect and others may help."""
    return failed.failure in {Failure.EXPIRED, Failure.NOT_CONFIGURED} or failed.code in _UNKNOWN_CREDENTIALS


def unavailable(failed: CallFailed) -> AwsUnavailable:
    """Return the port's error for a failed call other than a signal."""
    if failed.failure is Failure.THROTTLED:
        return AwsThrottled(failed.code)
    return AwsUnavailable(failed.code, address=failed.address)
