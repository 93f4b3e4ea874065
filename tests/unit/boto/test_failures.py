"""Tests for classifying failures: whether a call was sent, had an effect, and may be repeated."""

from typing import Any

import pytest
from botocore import exceptions as botocore
from botocore.parsers import ResponseParserError
from hypothesis import given

from bot.boto.failures import Failure, classify, unavailable
from bot.ports.aws import AwsThrottled
from tests.unit.aws.samples import MANY_EXAMPLES, anything

URL = {"endpoint_url": "https://ssm.example.com"}


def answered(code: str | None, status: int) -> Exception:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return botocore.ClientError(response, "SendAutomationSignal")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (answered("ThrottlingException", 400), Failure.THROTTLED),
        (answered(None, 429), Failure.THROTTLED),
        (answered("RequestLimitExceeded", 503), Failure.NO_ANSWER),
        (answered("InternalServerError", 500), Failure.NO_ANSWER),
        (answered("RequestTimeout", 400), Failure.NO_ANSWER),
        (answered("ProvisionedThroughputExceededException", 400), Failure.THROTTLED),
        (answered("TransactionInProgressException", 400), Failure.NO_ANSWER),
        (answered("TransactionCanceledException", 400), Failure.REFUSED),
        (answered("Something", 302), Failure.NO_ANSWER),
        (answered("ExpiredTokenException", 400), Failure.EXPIRED),
        (answered("AccessDenied", 403), Failure.DENIED),
        (answered("AccessDeniedException", 400), Failure.DENIED),
        (answered(None, 403), Failure.DENIED),
        (answered("InvalidAutomationSignalException", 400), Failure.REFUSED),
        (botocore.ParamValidationError(report="x"), Failure.REFUSED),
        (botocore.EndpointConnectionError(**URL), Failure.NOT_SENT),
        (botocore.ConnectTimeoutError(**URL), Failure.NOT_SENT),
        (botocore.ProxyConnectionError(proxy_url="http://proxy.example.com"), Failure.NOT_SENT),
        (botocore.NoCredentialsError(), Failure.NOT_CONFIGURED),
        (botocore.PartialCredentialsError(provider="x", cred_var="y"), Failure.NOT_CONFIGURED),
        (botocore.ProfileNotFound(profile="x"), Failure.NOT_CONFIGURED),
        (botocore.NoRegionError(), Failure.NOT_CONFIGURED),
        (botocore.CredentialRetrievalError(provider="x", error_msg="y"), Failure.NOT_SENT),
        (botocore.ReadTimeoutError(**URL), Failure.TIMED_OUT),
        (botocore.ConnectionClosedError(**URL), Failure.NO_ANSWER),
        (botocore.SSLError(error=OSError("bad record"), **URL), Failure.NO_ANSWER),
        (botocore.HTTPClientError(error="?"), Failure.NO_ANSWER),
        (ResponseParserError("half a body"), Failure.NO_ANSWER),
        (ValueError("no timestamp"), Failure.NO_ANSWER),
    ],
)
def test_every_failure_of_a_call_is_classified_by_its_possible_effect(error: Exception, failure: Failure) -> None:
    """The Failure says whether the call had an effect. An error that leaves that open is NO_ANSWER or TIMED_OUT."""
    assert classify(error).failure is failure


def test_code_of_a_failure_is_that_of_aws_else_the_http_status_else_the_exception() -> None:
    """The code is AWS's own, else the HTTP status, else the name of the exception."""
    assert classify(answered("InternalServerError", 500)).code == "InternalServerError"
    assert classify(answered(None, 502)).code == "HTTP 502"
    assert classify(botocore.NoCredentialsError()).code == "NoCredentialsError"


@MANY_EXAMPLES
@given(anything)
def test_malformed_error_response_counts_as_no_answer(response: Any) -> None:
    """An error response of an unexpected form is classified as NO_ANSWER, without an exception."""
    error = botocore.ClientError({}, "GetOpsItem")
    error.response = response
    assert classify(error).failure is Failure.NO_ANSWER


def test_throttled_call_becomes_aws_throttled_with_the_code_of_aws() -> None:
    """The error is the port's AwsThrottled and contains AWS's code."""
    problem = unavailable(classify(answered("ThrottlingException", 400)))
    assert isinstance(problem, AwsThrottled)
    assert problem.code == "ThrottlingException"
