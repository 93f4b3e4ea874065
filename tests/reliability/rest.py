"""What a row must look like once everybody has come to rest, and what may not be missing from it. Pure."""

from collections.abc import Iterable
from itertools import pairwise

from bot.domain.audit import EVENTS, AuditEntry
from bot.domain.decision import TRANSITIONS, DecisionState
from bot.domain.record import DeliveryState, Record
from bot.domain.request import Status


def quiet(row: Record, status: Status) -> bool:
    """Tell whether nobody works on a row, and all that is due for this status has been delivered."""
    shown = row.request is not None and row.request.status is status
    done = all(each.delivery in {DeliveryState.DELIVERED, DeliveryState.SKIPPED} for each in row.surfaces)
    names = {each.name for each in row.surfaces}
    due = {"dm:waiting" if status is Status.PENDING else "dm:approved", "card:approvals"}
    due |= {f"note:{each.id}" for each in row.decisions if each.state is DecisionState.CONFIRMED}
    return shown and done and due <= names and row.lease is None and not row.live_decisions


def lost(left: Record | None, end: Record) -> int:
    """Count the decisions that were durable when the process died and have not come to their end."""
    states = {each.id: each.state for each in end.decisions}
    kept = left.decisions if left else ()
    gone = [each for each in kept if each.id not in states]
    confirmed = (DecisionState.CLAIMED, DecisionState.CONFIRMED)  # a claim goes on, what was confirmed stays so
    undone = [each for each in kept if each.state in confirmed and states.get(each.id) is not DecisionState.CONFIRMED]
    return len({each.id for each in (*gone, *undone)})


_STATES = {event: state for state, event in EVENTS.items()}
_STEPS = {(former, state) for (former, _), state in TRANSITIONS.items()} | {(state, state) for state in DecisionState}


def gaps(row: Record | None, trail: Iterable[AuditEntry]) -> list[str]:
    """Return the decisions of a row whose way the audit trail does not tell from the claim to where they are."""
    told: dict[str, list[DecisionState]] = {each.id: [] for each in (row.decisions if row else ())}
    for entry in trail:
        if entry.decision in told:
            told[entry.decision].append(_STATES[entry.event])
    ends = {each.id: each.state for each in (row.decisions if row else ())}
    return [f"{name}: {', '.join(way)}" for name, way in told.items() if not _whole(way, ends[name])]


def _whole(way: list[DecisionState], end: DecisionState) -> bool:
    begun = way[:1] == [DecisionState.CLAIMED] and way[-1] is end
    return begun and _STEPS.issuperset(pairwise(way))
