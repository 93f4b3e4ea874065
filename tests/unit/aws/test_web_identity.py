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
async def test_answer_of_sts_without_a_token_raises_an_error(answer: dict[str, object]) -> None:
    """Entra would refuse an empty assertion, and its error would not name AWS as the cause."""
    with pytest.raises(AwsUnavailable) as error:
        await WebIdentity(cast("Clients", Answering(answer)), "api://AzureADTokenExchange").read()
    assert error.value.code == "NoTokenInAnswer"
