"""Runs `serve` without its own limits for AWS and Teams, so that CPU is measured without the pauses between calls.

    python -m tests.bench.unpaced

The product has no switch for this.
"""

import runpy
import sys
from typing import Any, Final

import pytest

from bot.aws.calls import rate_limit as aws
from bot.teams.outbound import rate_limit as teams

MANY: Final = ((1.0, 100_000),)  # seconds, and more messages than any process sends in this time


async def at_once(*_: Any) -> None:
    """Let a call to AWS go at once."""


def main() -> None:
    """Run `python -m bot serve` without limits."""
    patch = pytest.MonkeyPatch()  # never undone: the process has no other use
    patch.setattr(aws.RateLimiter, "turn", at_once)
    for limits in ("LIMITS", "BOOKABLE", "OVERALL"):
        patch.setattr(teams, limits, MANY)
    sys.argv = ["bot", "serve"]
    runpy.run_module("bot", run_name="__main__")


if __name__ == "__main__":
    main()
