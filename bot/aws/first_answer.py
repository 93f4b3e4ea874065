"""Asks AWS at the start until it answers: the network, or the role's credentials, may come after the process.

Owns the waiting, and advice on credentials and the network. Does not know how a call is made.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from bot.boto.failures import UNKNOWN_OR_EXPIRED
from bot.concurrency.waiting import first_of
from bot.ports.aws import AwsUnavailable

NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"})
PAUSE = 3.0  # seconds between two calls while AWS does not answer
LONGEST = 60.0  # seconds to wait for AWS's first answer
log = structlog.get_logger(__name__)
_T = TypeVar("_T")


class StoppedEarly(Exception):
    """A signal to stop came before the whole program was built."""


async def first_answer(
    ask: Callable[[], Awaitable[_T]], stopping: asyncio.Event, *, final: frozenset[str] = NO_CREDENTIALS
) -> _T:
    """Return AWS's answer. Retry for up to a minute, except after the codes in `final`, which waiting does not change.

    Raises AwsUnavailable, or StoppedEarly on shutdown.
    """
    deadline = asyncio.get_running_loop().time() + LONGEST
    while not stopping.is_set():
        try:
            return await ask()
        except AwsUnavailable as problem:
            if problem.code in final or asyncio.get_running_loop().time() > deadline:
                raise
            log.warning("aws_unavailable", code=problem.code, address=problem.address)
        await first_of(stopping.wait(), asyncio.sleep(PAUSE))
    raise StoppedEarly


def advice(problem: AwsUnavailable) -> str | None:
    """Return what to do about credentials and the network; None if neither is the cause."""
    if problem.code in NO_CREDENTIALS:
        return "no AWS credentials were found: give the process a role, or set AWS_ACCESS_KEY_ID and so on"
    if problem.code in UNKNOWN_OR_EXPIRED:
        return f"AWS refuses the bot's credentials ({problem.code}): check them, and the clock of this machine"
    if problem.address:
        return (
            f"AWS cannot be reached at {problem.address} ({problem.code}): check the network, AWS_REGION, HTTPS_PROXY"
            " and AWS_ENDPOINT_URL"
        )
    return None
