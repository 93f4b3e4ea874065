"""Asks AWS for the bot's own account at the start, for a minute at most. The network may start after the process.

Owns the waiting and the advice to an operator. Does not know how the call is made.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bot.boto.failures import UNKNOWN_OR_EXPIRED
from bot.concurrency.waiting import first_of
from bot.ports.aws import AwsUnavailable

NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})
PAUSE = 3.0  # seconds between two calls while AWS does not answer
LONGEST = 60.0  # seconds to wait for AWS's first answer
log = structlog.get_logger(__name__)


class StoppedEarly(Exception):
    """A signal to stop came before the whole program was built."""


async def own_account(ask: Callable[[], Awaitable[str]], stopping: asyncio.Event) -> str:
    """Return the account of the bot's own credentials. Retry for up to a minute, unless there are no credentials.

    `ask` makes the call, and raises AwsUnavailable. Raises AwsUnavailable with advice, or StoppedEarly once `stopping`
    is set.
    """
    deadline = asyncio.get_running_loop().time() + LONGEST
    while not stopping.is_set():
        try:
            return await ask()
        except AwsUnavailable as problem:
            if problem.code in NO_CREDENTIALS or asyncio.get_running_loop().time() > deadline:
                raise AwsUnavailable(_advice(problem)) from problem
            log.warning("aws_unavailable", code=problem.code, address=problem.address)
        await first_of(stopping.wait(), asyncio.sleep(PAUSE))
    raise StoppedEarly


def _advice(problem: AwsUnavailable) -> str:
    if problem.code in NO_CREDENTIALS:
        return "no AWS credentials were found: give the process a role, or set AWS_ACCESS_KEY_ID and so on"
    if problem.code in UNKNOWN_OR_EXPIRED:
        return f"AWS refuses the bot's credentials ({problem.code}): check them, and the clock of this machine"
    if problem.address:
        return (
            f"AWS cannot be reached at {problem.address} ({problem.code}): check the network, AWS_REGION, HTTPS_PROXY"
            " and AWS_ENDPOINT_URL"
        )
    return f"AWS did not answer who the bot is ({problem.code})"
