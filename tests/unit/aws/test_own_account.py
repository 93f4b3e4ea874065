"""Tests for bot.aws.own_account: the error if AWS does not return the bot's own account."""

import asyncio

import pytest

from bot.aws import first_answer as module
from bot.aws.own_account import own_account
from bot.ports.aws import AwsUnavailable


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (AwsUnavailable("NoCredentialsError"), "no AWS credentials were found: give the process a role, or set"),
        (AwsUnavailable("SignatureDoesNotMatch"), "(SignatureDoesNotMatch): check them, and the clock of this machine"),
        (AwsUnavailable("ExpiredToken"), "AWS refuses the bot's credentials (ExpiredToken)"),
        (
            AwsUnavailable("ConnectTimeoutError", address="https://sts.us-east-1.amazonaws.com"),
            "https://sts.us-east-1.amazonaws.com (ConnectTimeoutError): check the network",
        ),
        (AwsUnavailable("InternalFailure"), "AWS did not answer who the bot is (InternalFailure)"),
    ],
)
async def test_error_says_what_to_check_if_aws_does_not_return_the_account_of_the_bot(
    monkeypatch: pytest.MonkeyPatch, problem: AwsUnavailable, words: str
) -> None:
    """If there are credentials, it also names the code, and the address that does not answer if it is known."""
    monkeypatch.setattr(module, "LONGEST", -1.0)

    async def ask() -> str:
        raise problem

    with pytest.raises(AwsUnavailable) as raised:
        await own_account(ask, asyncio.Event())
    assert words in str(raised.value)
