"""Checks of a row after all work has ended: messages, decisions and audit entries. Only pure functions, and `Stuck`."""

from collections.abc import Iterable
from itertools import pairwise

from bot.domain.audit import EVENTS, AuditEntry
from bot.domain.decision import TRANSITIONS, DecisionState
from bot.domain.record import DeliveryState, Record
from bot.domain.request import Status


class Stuck(Exception):
    """The work does not end, or no click decides the request."""


def quiet(row: Record, status: Status) -> bool:
    """Return whether no work on the row is pending and all messages for this status have been delivered."""
    shown = row.request is not None and row.request.status is status
    done = all(each.delivery in {DeliveryState.DELIVERED, DeliveryState.SKIPPED} for each in row.surfaces)
    names = {each.name for each in row.surfaces}
    due = {"dm:waiting" if status is Status.PENDING else "dm:approved", "card:approvals"}
    due |= {f"note:{each.id}" for each in row.decisions if each.state is DecisionState.CONFIRMED}
    return shown and done and due <= names and row.lease is None and not row.live_decisions


def lost(left: Record | None, end: Record) -> int:
    """Count the decisions that were stored when the process was killed and are now missing or not confirmed."""
    states = {each.id: each.state for each in end.decisions}
    kept = left.decisions if left else ()
    gone = [each for each in kept if each.id not in states]
    confirmed = (DecisionState.CLAIMED, DecisionState.CONFIRMED)  # what must end as confirmed
    undone = [each for each in kept if each.state in confirmed and states.get(each.id) is not DecisionState.CONFIRMED]
    return len({each.id for each in (*gone, *undone)})


_STATES = {event: state for state, event in EVENTS.items()}
_STEPS = {(former, state) for (former, _), state in TRANSITIONS.items()} | {(state, state) for state in DecisionState}


def gaps(row: Record | None, trail: Iterable[AuditEntry]) -> list[str]:
    """Return the decisions of a row with a step missing in the audit trail, from the claim to the current state."""
    told: dict[str, list[DecisionState]] = {each.id: [] for each in (row.decisions if row else ())}
    for entry in trail:
        if entry.decision in told:
            told[entry.decision].append(_STATES[entry.event])
    ends = {each.id: each.state for each in (row.decisions if row else ())}
    return [f"{name}: {', '.join(way)}" for name, way in told.items() if not _whole(way, ends[name])]


def _whole(way: list[DecisionState], end: DecisionState) -> bool:
    begun = way[:1] == [DecisionState.CLAIMED] and way[-1] is end
    return begun and _STEPS.issuperset(pairwise(way))
