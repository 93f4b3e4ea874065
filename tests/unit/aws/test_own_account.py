"""Tests for bot.aws.own_account: what the bot says if AWS does not tell it its own account."""

import asyncio

import pytest

from bot.aws import own_account as module
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
            "us-east-1.amazonaws.com",
        ),
        (AwsUnavailable("InternalFailure"), "AWS did not answer who the bot is (InternalFailure)"),
    ],
)
async def test_advice_names_the_code_and_what_to_check(
    monkeypatch: pytest.MonkeyPatch, problem: AwsUnavailable, words: str
) -> None:
    """The minute is over: the error that the operator reads has advice, and AWS's code."""
    monkeypatch.setattr(module, "LONGEST", -1.0)

    async def ask() -> str:
        raise problem

    with pytest.raises(AwsUnavailable) as raised:
        await own_account(ask, asyncio.Event())
    assert words in str(raised.value)
