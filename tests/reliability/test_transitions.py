"""Figure 1: the life of a decision, every state with every event, against a table that was written by hand.

The matrix below is the promise; `bot.domain.decision.TRANSITIONS` is held against it and not the other way round.
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
MAY_HAVE_LEFT = {DecisionState.SENT, DecisionState.UNKNOWN, DecisionState.CONFIRMED}


def promised() -> dict[tuple[str, str], str | None]:
    """Return where each pair of state and event leads; None: nowhere."""
    events, *rows = (line.split() for line in MATRIX.strip().splitlines())
    cells = {(row[0], event): cell for row in rows for event, cell in zip(events, row[1:], strict=True)}
    return {pair: None if cell == "-" else cell for pair, cell in cells.items()}


def step(before: Decision, event: DecisionEvent) -> Decision | None:
    """Return the decision after an event; None where it raised."""
    try:
        return before.after(event, at=LATER)
    except IllegalTransition:
        return None


def test_every_state_with_every_event(figure: Figure) -> None:
    """Each pair does what the matrix says; an illegal one raises and changes neither the decision nor its row."""
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
    """Return every state to which events lead from here, by trying them on decisions."""
    found: set[DecisionState] = set()
    ahead = [start]
    while ahead:
        here = decision(HANAKO, state=ahead.pop())
        after = [step(here, event) for event in DecisionEvent if event is not without]
        fresh = {each.state for each in after if each} - found
        found |= fresh
        ahead.extend(fresh)
    return found


@pytest.mark.parametrize("state", sorted(MAY_HAVE_LEFT))
def test_what_may_have_left_is_sent_again_only_after_throttling(state: DecisionState) -> None:
    """A throttled signal had no effect; without that event no path leads back to a claim or to a second sending."""
    assert not reached(state, without=DecisionEvent.THROTTLED) & {DecisionState.CLAIMED, DecisionState.SENT}
    assert (DecisionState.SENT in reached(state)) == (state is DecisionState.SENT)


@pytest.mark.parametrize("state", DecisionState)
def test_every_life_has_an_end(state: DecisionState) -> None:
    """From whatever is live an end is reached, and from an end nothing: no decision is stuck by its table."""
    ends = {each for each in DecisionState if not each.live}
    assert bool(reached(state) & ends) == state.live
    assert bool(reached(state)) == state.live
