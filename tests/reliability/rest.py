"""Waits until all work has ended, and checks the row then: messages, decisions and audit entries."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from bot.domain.audit import EVENTS, AuditEntry
from bot.domain.decision import TRANSITIONS, DecisionState
from bot.domain.record import Record
from bot.domain.request import Status
from bot.domain.surface import DeliveryState
from tests.fakes.outside import Outside

STUCK = 900  # seconds after which unfinished work counts as stuck


class Stuck(Exception):
    """The work does not end, or no click decides the request."""


async def until_at_rest(
    outside: Outside, answers: Sequence[tuple[asyncio.Task[object], object]], done: Callable[[], bool]
) -> None:
    """Advance the clock until no work is pending and `done` returns True.

    `answers` are the answers to clicks; tests may add some in the meantime. Raises Stuck, also for a failed answer.
    """
    for _ in range(STUCK):
        await outside.clock.advance(1)
        if broken := [answer for answer, _ in answers if answer.done() and answer.exception()]:
            raise Stuck(repr(broken[0].exception()))
        if outside.at_rest() and done():
            return
    raise Stuck("work is still pending")


def quiet(row: Record, status: Status) -> bool:
    """Return whether no work on the row is pending and all messages for this status are delivered.

    `status` is PENDING or APPROVED.
    """
    shown = row.request is not None and row.request.status is status
    done = all(each.delivery in {DeliveryState.DELIVERED, DeliveryState.SKIPPED} for each in row.surfaces)
    names = {each.name for each in row.surfaces}
    due = {"dm:waiting" if status is Status.PENDING else "dm:approved", "card:approvals"}
    due |= {f"note:{each.id}" for each in row.decisions if each.state is DecisionState.CONFIRMED}
    return shown and done and due <= names and row.lease is None and not row.live_decisions


def lost(left: Record | None, end: Record) -> int:
    """Count the decisions that a kill lost.

    These are missing now, or were claimed or confirmed and are not confirmed now.
    """
    states = {each.id: each.state for each in end.decisions}
    kept = left.decisions if left else ()
    gone = [each for each in kept if each.id not in states]
    confirmed = (DecisionState.CLAIMED, DecisionState.CONFIRMED)
    undone = [each for each in kept if each.state in confirmed and states.get(each.id) is not DecisionState.CONFIRMED]
    return len({each.id for each in (*gone, *undone)})


_STATES = {event: state for state, event in EVENTS.items()}
_STEPS = {(former, state) for (former, _), state in TRANSITIONS.items()} | {(state, state) for state in DecisionState}


def gaps(row: Record | None, trail: Iterable[AuditEntry]) -> list[str]:
    """Return the decisions of a row with a step missing in the audit trail, from the claim to the current state."""
    steps: dict[str, list[DecisionState]] = {each.id: [] for each in (row.decisions if row else ())}
    for entry in trail:
        if entry.decision in steps and entry.event in _STATES:  # sessions that it ended name it, too
            steps[entry.decision].append(_STATES[entry.event])
    ends = {each.id: each.state for each in (row.decisions if row else ())}
    return [f"{name}: {', '.join(way)}" for name, way in steps.items() if not _whole(way, ends[name])]


def _whole(way: list[DecisionState], end: DecisionState) -> bool:
    begun = way[:1] == [DecisionState.CLAIMED] and way[-1] is end
    return begun and _STEPS.issuperset(pairwise(way))
