"""Makes each check once, some at the same time; a check waits for the one that it needs."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import structlog

from bot.service.checks.check import NO_ANSWER, Check, NotChecked, Problem

SIDE_BY_SIDE: Final = 8  # checks at once
log = structlog.get_logger(__name__)

Results = dict[str, Problem | None]
"""The problem that each check found, or None, by the name of the check. A check that could not be made is left out."""


def _nothing(_check: Check, _results: Results) -> None:
    """Do nothing after a check."""


async def make_checks(
    checks: Sequence[Check],
    *,
    known: Mapping[str, Problem | None],
    seen: Callable[[Check, Results], None] = _nothing,
    slots: asyncio.Semaphore | None = None,
) -> Results:
    """Return the results of the checks that could be made.

    `known` has earlier results by the name of the check. A check is left out while the one that it needs has a problem.
    `seen` is called after each attempt, with the results so far; they lack the check if it could not be made. An
    unexpected error of a check is logged, and the check has no result. `slots` limits the checks at once, also those of
    other calls; without it, the limit is SIDE_BY_SIDE for this call.
    """
    slots, found = slots or asyncio.Semaphore(SIDE_BY_SIDE), Results()
    over = {each.name: asyncio.Event() for each in checks}

    async def make(check: Check) -> None:
        if check.needs in over:
            await over[check.needs].wait()
        if says_something(check, {**known, **found}):
            async with slots:
                await _make(check, found)
            seen(check, found)
        over[check.name].set()

    await asyncio.gather(*map(make, checks))
    return found


async def _make(check: Check, found: Results) -> None:
    try:
        async with asyncio.timeout(check.longest):
            found[check.name] = await check.find()
    except NotChecked:
        return
    except TimeoutError:
        found[check.name] = Problem(NO_ANSWER, f"there was no answer within {check.longest:.0f} seconds")
    except Exception:  # a defect in one check must not end all others
        log.exception("check_failed", check=check.name)


def says_something(check: Check, known: Mapping[str, Problem | None]) -> bool:
    """Return whether a check can say something new: the one that it needs has no problem, as far as it is known."""
    return check.needs is None or known.get(check.needs) is None


def only_asking(checks: Iterable[Check]) -> list[Check]:
    """Return the checks that call Microsoft, AWS or the store, without those that only look at this process."""
    return [each for each in checks if not each.is_memory]
