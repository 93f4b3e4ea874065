"""Says what the failure of one call means: did it leave, did it have an effect, may it be made again. Sans-IO.

Where that is uncertain, the answer is NO_ANSWER: nobody knows.
"""

from enum import StrEnum
from typing import Final

from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError

from bot.boto.fields import mapping, text
from bot.ports.aws import AwsThrottled, AwsUnavailable


class Failure(StrEnum):
    """What is known of a call that failed."""

    NOT_SENT = "not_sent"  # there was nobody to take it, or nothing to sign it with: it had no effect
    THROTTLED = "throttled"  # AWS took no notice of it: no effect
    EXPIRED = "expired"  # its credentials were too old: no effect, new ones help
    DENIED = "denied"  # no permission: no effect
    REFUSED = "refused"  # another error of the caller's: no effect
    NO_ANSWER = "no_answer"  # 5xx, connection lost, an answer that cannot be read: nobody knows
    TIMED_OUT = "timed_out"  # no answer for as long as we wait: nobody knows


class CallFailed(Exception):
    """One call failed. `code` is AWS's error code, or the name of what went wrong on the way."""

    def __init__(self, code: str, failure: Failure) -> None:
        super().__init__(code)
        self.code, self.failure = code, failure


# The SDK raises these before anything was sent.
_NOT_SENT: Final = (
    botocore.ConnectTimeoutError,
    botocore.CredentialRetrievalError,
    botocore.EndpointConnectionError,
    botocore.MetadataRetrievalError,
    botocore.NoCredentialsError,
    botocore.PartialCredentialsError,
    botocore.ProxyConnectionError,
    botocore.SSOError,
)
# What a call may raise: the SDK's errors, and whatever its parsers trip over in an answer that has another form.
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
_THROTTLED: Final = frozenset(
    {
        "PriorRequestNotComplete",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "Throttling",
        "ThrottledException",
        "ThrottlingException",
        "TooManyRequestsException",
    }
)
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "NotAuthorized",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
_UNCERTAIN: Final = frozenset({"RequestTimeout", "RequestTimeoutException"})  # a 400 that speaks of the way, not of us
_TOO_MANY, _FORBIDDEN = 429, frozenset({401, 403, 407})


def classified(error: Exception) -> CallFailed:
    """Say what an error of `RAISED` means."""
    match error:
        case botocore.ClientError():
            return _answered(error)
        case botocore.ParamValidationError():
            return CallFailed("ParamValidationError", Failure.REFUSED)
        case botocore.ReadTimeoutError():
            return CallFailed("ReadTimeoutError", Failure.TIMED_OUT)
    failure = Failure.NOT_SENT if isinstance(error, _NOT_SENT) else Failure.NO_ANSWER
    return CallFailed(type(error).__name__, failure)


def _answered(error: botocore.ClientError) -> CallFailed:
    response: object = error.response
    status = mapping(mapping(response).get("ResponseMetadata")).get("HTTPStatusCode")
    code = text(mapping(mapping(response).get("Error")).get("Code")) or f"HTTP {status}"
    return CallFailed(code, _by_code(code, status if isinstance(status, int) else 0))


def _by_code(code: str, status: int) -> Failure:
    if not 400 <= status < 500 or code in _UNCERTAIN:
        return Failure.NO_ANSWER  # a 5xx may come after the effect, whatever code it carries
    if code in _THROTTLED or status == _TOO_MANY:
        return Failure.THROTTLED
    if code in _EXPIRED:
        return Failure.EXPIRED
    return Failure.DENIED if code in _DENIED or status in _FORBIDDEN else Failure.REFUSED


def unavailable(failed: CallFailed) -> AwsUnavailable:
    """Return the port's error for a read."""
    return AwsThrottled(failed.code) if failed.failure is Failure.THROTTLED else AwsUnavailable(failed.code)
