"""Figure 26: a process dies at any point, and every time that it stored is wrong by one or nine hours, ahead or behind.

The next process starts with the right clock. Teams shows the truth within the longest span that the bot would wait with
right times: the minute in which AWS may still show an unanswered signal.
"""

from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from bot.domain import spans
from bot.domain.request import AccessRequest
from tests.fakes.gates import end_everything
from tests.fakes.outside import Outside, Process, doubled, extras, untimely, wrong
from tests.figures import LONG, Figure
from tests.reliability.crashes import Recorder, live
from tests.reliability.rest import Stuck
from tests.reliability.stories import STORIES, Story

pytestmark = pytest.mark.usefixtures("silence")

SHIFTS: Final = tuple(timedelta(hours=hours) for hours in (-9, -1, 1, 9))
EVERY: Final = 1 if LONG else 32  # one crash point in this many is tested
EVERY_OF_CONTROL: Final = 1 if LONG else 8  # few points have stored a time that a bot without the guard waits for
WITHIN: Final = 70  # seconds; an unanswered signal is observed for 60


def shifted(value: Any, by: timedelta) -> Any:
    """Return a stored value with every time of the bot's clock shifted. The facts of AWS have AWS's times."""
    match value:
        case datetime():
            return value + by
        case tuple():
            return tuple(shifted(each, by) for each in value)
        case AccessRequest():
            return value
        case _ if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{each.name: shifted(getattr(value, each.name), by) for each in fields(value)})
        case _:
            return value


def after_crash(left: Outside, by: timedelta) -> Outside:
    """Return the state that a crash left, with every stored time shifted."""
    outside = left.copied()
    outside.crashes += 1
    tables = outside.tables
    tables.records = {key: shifted(row, by) for key, row in tables.records.items()}
    tables.sweep_leases = {place: shifted(lease, by) for place, lease in tables.sweep_leases.items()}
    tables.watermarks = {place: shifted(moment, by) for place, moment in tables.watermarks.items()}
    return outside


def unfinished(outside: Outside) -> list[str]:
    """Return what is wrong, except outdated messages.

    A card may still have the mentions with which it was posted, and the shift has changed the times of decisions that
    messages show.
    """
    return [each for each in wrong(outside) if not each.endswith(" shows something else")]


async def seconds_to_truth(outside: Outside) -> int:
    """Run one process until no work is left and Teams shows the truth. Return the seconds. Raises Stuck."""
    Process(outside, Recorder(outside, keep=lambda: False), owner="the next process")
    try:
        for second in range(WITHIN):
            await outside.clock.advance(1)
            if outside.at_rest() and (not outside.aws.requests or unfinished(outside) == []):
                return second + 1
    finally:
        await end_everything()
    raise Stuck(f"not right after {WITHIN} s: {unfinished(outside)}")


async def reconciled(outside: Outside) -> None:
    """Reconcile the request once more: the shift has changed the times of decisions that its card shows."""
    row = outside.row()
    assert row is not None
    outside.tables.records[outside.key] = row.requeue_by(outside.clock.now())
    await seconds_to_truth(outside)


async def outcomes(story: Story, *, every: int = EVERY) -> tuple[int, int, int]:
    """Crash a story at points with each shift. Return the runs, the seconds of the slowest, and the stuck runs."""
    copies = (await live(story.outside(), story)).copies[::every]
    slowest, stuck = 0, 0
    for left in copies:
        for by in SHIFTS:
            outside = after_crash(left, by)
            try:
                slowest = max(slowest, await seconds_to_truth(outside))
            except Stuck:
                stuck += 1
                continue
            await live(outside, story, keep=lambda: False)
            await reconciled(outside)
            assert wrong(outside) == []
            assert doubled(outside) == 0
            assert extras(outside) <= outside.crashes
            assert untimely(outside) == []
    return len(copies) * len(SHIFTS), slowest, stuck


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_request_converges_although_every_stored_time_is_wrong(story: Story, figure: Figure) -> None:
    """No effect is doubled, and Teams shows the truth at most 70 seconds after the restart."""
    runs, slowest, stuck = await outcomes(story)
    figure(26, story=story.name, runs=runs, slowest=slowest, stuck=stuck)
    assert stuck == 0


async def test_control_some_requests_of_a_bot_that_trusts_wrong_stored_times_are_stuck(
    monkeypatch: pytest.MonkeyPatch, figure: Figure
) -> None:
    """Negative control: if the bot trusts stored times up to a year ahead, some requests are stuck for 70 seconds."""
    monkeypatch.setattr(spans, "SKEW", timedelta(days=365))
    runs, _, stuck = await outcomes(STORIES[0], every=EVERY_OF_CONTROL)
    figure(26, believed_times=True, runs=runs, stuck=stuck)
    assert stuck > 0
