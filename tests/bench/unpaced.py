"""Runs `serve` without its own limits for AWS and Teams, so that CPU is measured without the pauses between calls.

    python -m tests.bench.unpaced

The product has no switch for this.
"""

import runpy
import sys
from functools import partial
from typing import Final

import pytest

from bot.aws.assembly import AwsSide
from bot.teams.outbound import circuit_breaker, messenger, rate_limit
from tests.fakes.product import UNPACED

MANY: Final = 100_000  # more than any process sends in a second


def main() -> None:
    """Run `python -m bot serve` with limits that it never reaches."""
    patch = pytest.MonkeyPatch()  # never undone: the process has no other use
    patch.setattr("bot.adapters.AwsSide", partial(AwsSide, rates=UNPACED))
    for limits in ("LIMITS", "BOOKABLE", "OVERALL"):
        patch.setattr(rate_limit, limits, ((1.0, MANY),))
    patch.setattr(circuit_breaker, "IN_FLIGHT", MANY)
    patch.setattr(messenger, "MOST_DIRECTS", MANY)
    sys.argv = ["bot", "serve"]
    runpy.run_module("bot", run_name="__main__")


if __name__ == "__main__":
    main()
