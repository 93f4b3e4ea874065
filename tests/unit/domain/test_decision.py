"""bot.domain.decision: the life of a decision."""

from dataclasses import replace
from itertools import product

import pytest

from bot.domain.decision import DECISION_SPAN, TRANSITIONS, DecisionEvent, DecisionState, IllegalTransition, Outcome
from tests.fakes.chat import HANAKO
from tests.unit.domain.sample import NOW, SECOND, decision

CLAIMED, SENT, CONFIRMED, REFUSED, UNKNOWN, RELEASED = DecisionState


LIVES = {
    (CLAIMED, DecisionEvent.SENDING): SENT,
    (CLAIMED, DecisionEvent.WITHDRAWN): RELEASED,
    (SENT, DecisionEvent.ANSWERED): CONFIRMED,
    (SENT, DecisionEvent.REFUSED): REFUSED,
    (SENT, DecisionEvent.THROTTLED): CLAIMED,
    (SENT, DecisionEvent.LOST): UNKNOWN,
    (UNKNOWN, DecisionEvent.ANSWERED): CONFIRMED,
    (UNKNOWN, DecisionEvent.REFUSED): REFUSED,
    (UNKNOWN, DecisionEvent.SEEN): CONFIRMED,
    (UNKNOWN, DecisionEvent.WITHDRAWN): RELEASED,
}


def test_the_table_is_the_one_that_was_promised() -> None:
    """The transitions are these ten and no other."""
    assert TRANSITIONS == LIVES


@pytest.mark.parametrize(("state", "event"), list(product(DecisionState, DecisionEvent)))
def test_every_pair_of_state_and_event(state: DecisionState, event: DecisionEvent) -> None:
    """A legal event leads where the table says; an illegal one raises and changes nothing."""
    before = decision(HANAKO, state=state)
    copy = replace(before)
    if (state, event) not in LIVES:
        with pytest.raises(IllegalTransition):
            before.after(event, at=NOW)
    else:
        after = before.after(event, at=NOW, outcome=Outcome.SETTLED, detail="code")
        assert (after.state, after.outcome, after.detail) == (LIVES[state, event], Outcome.SETTLED, "code")
        assert after.settled_at == (None if after.state.live else NOW)
        assert replace(after, state=state, settled_at=None, outcome=None, detail="") == before
    assert before == copy


def test_nothing_leads_out_of_an_end() -> None:
    """What is confirmed, refused or released stays so: none of the ends is live, everything else is."""
    ends = {state for state in DecisionState if not state.live}
    assert ends == {CONFIRMED, REFUSED, RELEASED}
    assert not [state for state, _ in TRANSITIONS if state in ends]


def test_what_may_have_left_is_never_sent_again() -> None:
    """Only a claim can be sent, and from `sent` only a throttled signal, which had no effect, leads back to one."""
    assert {state for state, event in TRANSITIONS if event is DecisionEvent.SENDING} == {CLAIMED}
    assert {pair for pair, state in TRANSITIONS.items() if state is CLAIMED} == {(SENT, DecisionEvent.THROTTLED)}


def test_a_remembered_outcome_goes_when_the_signal_leaves() -> None:
    """Why an earlier attempt failed says nothing about the next one."""
    throttled = replace(decision(HANAKO), outcome=Outcome.THROTTLED, detail="ThrottlingException")
    sent = throttled.after(DecisionEvent.SENDING, at=NOW)
    assert (sent.outcome, sent.detail) == (None, "")


def test_a_decision_lapses_a_minute_after_the_click() -> None:
    """Sixty seconds, from the click on."""
    assert DECISION_SPAN == 60 * SECOND
    assert decision(HANAKO).deadline == NOW + 60 * SECOND
