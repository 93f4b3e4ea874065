"""Figure 1: the transitions of a decision, every state with every event, equal a table written by hand.

The matrix is the specification. `bot.domain.decision.TRANSITIONS` must match it.
"""

from dataclasses import replace
from itertools import product

import pytest

from bot.domain.decision import TRANSITIONS, Decision, DecisionEvent, DecisionState, IllegalTransition
from tests.fakes.chat import HANAKO
from tests.figures import Figure
from tests.unit.domain.sample import NOW, SECOND, decision

MATRIX = """
            sending  answered   refused  throttled  lost     seen       withdrawn
claimed     sent     -          -        -          -        -          released
sent        -        confirmed  refused  claimed    unknown  -          -
confirmed   -        -          -        -          -        -          -
refused     -        -          -        -          -        -          -
unknown     -        confirmed  refused  -          -        confirmed  released
released    -        -          -        -          -        -          -
"""
LATER = NOW + SECOND
MAY_BE_SENT = {DecisionState.SENT, DecisionState.UNKNOWN, DecisionState.CONFIRMED}


def promised() -> dict[tuple[str, str], str | None]:
    """Return the next state for each pair of state and event. None means an illegal event."""
    events, *rows = (line.split() for line in MATRIX.strip().splitlines())
    cells = {(row[0], event): cell for row in rows for event, cell in zip(events, row[1:], strict=True)}
    return {pair: None if cell == "-" else cell for pair, cell in cells.items()}


def step(before: Decision, event: DecisionEvent) -> Decision | None:
    """Return the decision after an event, or None if the event is illegal."""
    try:
        return before.after(event, at=LATER)
    except IllegalTransition:
        return None


def test_every_pair_of_decision_state_and_event_matches_the_matrix(figure: Figure) -> None:
    """Legal events lead to the state in the matrix. Illegal ones raise and do not change the decision."""
    table, illegal = promised(), 0
    assert set(table) == set(product(DecisionState, DecisionEvent))
    for state, event in product(DecisionState, DecisionEvent):
        before = decision(HANAKO, state=state)
        untouched, after = replace(before), step(before, event)
        assert (after.state if after else None) == table[state, event], (state, event)
        assert before == untouched
        illegal += after is None
    assert illegal == len(table) - len(TRANSITIONS)
    figure(1, pairs=len(table), illegal=illegal)


def reached(start: DecisionState, *, without: DecisionEvent | None = None) -> set[DecisionState]:
    """Return every state that events can reach from `start`."""
    found: set[DecisionState] = set()
    ahead = [start]
    while ahead:
        here = decision(HANAKO, state=ahead.pop())
        after = [step(here, event) for event in DecisionEvent if event is not without]
        fresh = {each.state for each in after if each} - found
        found |= fresh
        ahead.extend(fresh)
    return found


@pytest.mark.parametrize("state", sorted(MAY_BE_SENT))
def test_decision_that_may_have_been_sent_can_be_sent_again_only_after_throttling(state: DecisionState) -> None:
    """A throttled signal had no effect. Without the event `throttled`, no path leads back to `claimed` or `sent`."""
    assert not reached(state, without=DecisionEvent.THROTTLED) & {DecisionState.CLAIMED, DecisionState.SENT}
    assert (DecisionState.SENT in reached(state)) == (state is DecisionState.SENT)


@pytest.mark.parametrize("state", DecisionState)
def test_every_live_state_of_a_decision_can_reach_an_end_and_no_event_leaves_an_end(state: DecisionState) -> None:
    """Every live state can reach an end state, and no event leaves an end state."""
    ends = {each for each in DecisionState if not each.live}
    assert bool(reached(state) & ends) == state.live
    assert bool(reached(state)) == state.live
