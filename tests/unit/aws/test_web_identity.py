"""Tests for bot.aws.web_identity: an answer of STS without a token."""

from typing import cast

import pytest

from bot.aws.calls.clients import Clients
from bot.aws.web_identity import WebIdentity
from bot.ports.aws import AwsUnavailable


class Answering:
    """Clients whose calls all have one answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def own(self, *_: object, **__: object) -> object:
        return self._answer


@pytest.mark.parametrize("answer", [{}, {"WebIdentityToken": ""}, {"WebIdentityToken": 1}])
async def test_answer_without_a_token_is_no_empty_token(answer: dict[str, object]) -> None:
    """An empty proof would be sent to Entra, which would refuse the bot instead of naming AWS."""
    with pytest.raises(AwsUnavailable) as error:
        await WebIdentity(cast("Clients", Answering(answer)), "api://AzureADTokenExchange").read()
    assert error.value.code == "NoTokenInAnswer"
