"""Asks the bot that runs on this machine what it has seen: clicks that were refused, cards that Teams did not take."""

import asyncio
from collections.abc import Mapping
from typing import Any

from bot.service.checks.check import Problem
from bot.web.probe import NoAnswer, probe

READINESS = "/readyz"


async def problems_seen(host: str, port: int) -> Mapping[str, Problem] | None:
    """Return the problems of the running bot by the names of their checks.

    None if no bot answers at this address, the answer lists no problems, or the port is 0: no metrics are served.
    """
    if not port:
        return None
    try:
        _, answer = await asyncio.to_thread(probe, host, port, READINESS)
    except NoAnswer:
        return None
    listed: Any = answer.get("problems") if isinstance(answer, dict) else None
    if not isinstance(listed, dict):
        return None
    return {str(name): _problem(str(words)) for name, words in listed.items()}


def _problem(words: str) -> Problem:
    """Return a problem from the form of `Health.problems`: `<code>: <advice>`."""
    code, _, advice = words.partition(": ")
    return Problem(code, advice)
