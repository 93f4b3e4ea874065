"""Asks AWS for the bot's own account at the start, for a minute at most."""

import asyncio
from collections.abc import Awaitable, Callable

from bot.aws.first_answer import advice, first_answer
from bot.ports.aws import AwsUnavailable


async def own_account(ask: Callable[[], Awaitable[str]], stopping: asyncio.Event) -> str:
    """Return the account of the bot's own credentials. Retry for up to a minute, unless there are no credentials.

    `ask` makes the call, and raises AwsUnavailable. Raises AwsUnavailable with advice, or StoppedEarly once `stopping`
    is set.
    """
    try:
        return await first_answer(ask, stopping)
    except AwsUnavailable as problem:
        says = advice(problem) or f"AWS did not answer who the bot is ({problem.code})"
        raise AwsUnavailable(says) from problem
