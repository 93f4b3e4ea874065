"""Tests for bot.domain.decision: states and transitions."""

from dataclasses import replace
from itertools import product

import pytest

from bot.domain.decision import (
    DECISION_SPAN,
    QUEUE_SPAN,
    TRANSITIONS,
    DecisionEvent,
    DecisionState,
    IllegalTransition,
    Outcome,
)
from tests.fakes.chat import HANAKO
from tests.unit.domain.sample import NOW, SECOND, decision

CLAIMED, SENT, CONFIRMED, REFUSED, UNKNOWN, RELEASED = DecisionState


EXPECTED = {
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


def test_transition_table_of_decisions_has_the_ten_expected_transitions() -> None:
    """The table has these ten transitions and no others."""
    assert TRANSITIONS == EXPECTED


@pytest.mark.parametrize(("state", "event"), list(product(DecisionState, DecisionEvent)))
def test_every_pair_of_decision_state_and_event_follows_the_table(state: DecisionState, event: DecisionEvent) -> None:
    """A legal event leads to the state in the table; an illegal one raises and changes nothing."""
    before = decision(HANAKO, state=state)
    copy = replace(before)
    if (state, event) not in EXPECTED:
        with pytest.raises(IllegalTransition):
            before.after(event, at=NOW)
    else:
        after = before.after(event, at=NOW, outcome=Outcome.SETTLED, detail="code")
        assert (after.state, after.outcome, after.detail) == (EXPECTED[state, event], Outcome.SETTLED, "code")
        assert after.settled_at == (None if after.state.live else NOW)
        assert replace(after, state=state, settled_at=None, outcome=None, detail="") == before
    assert before == copy


def test_no_transition_leaves_a_final_state_of_a_decision() -> None:
    """Confirmed, refused and released decisions are final and not live; all others are live."""
    ends = {state for state in DecisionState if not state.live}
    assert ends == {CONFIRMED, REFUSED, RELEASED}
    assert not [state for state, _ in TRANSITIONS if state in ends]


def test_signal_that_may_have_reached_aws_is_never_sent_again() -> None:
    """Only a claim can be sent. Only a throttled signal, which had no effect, becomes a claim again."""
    assert {state for state, event in TRANSITIONS if event is DecisionEvent.SENDING} == {CLAIMED}
    assert {pair for pair, state in TRANSITIONS.items() if state is CLAIMED} == {(SENT, DecisionEvent.THROTTLED)}


def test_outcome_of_an_earlier_attempt_is_cleared_when_a_decision_is_sent() -> None:
    """The reason why one attempt failed is not kept for the next attempt."""
    throttled = replace(decision(HANAKO), outcome=Outcome.THROTTLED, detail="ThrottlingException")
    sent = throttled.after(DecisionEvent.SENDING, at=NOW)
    assert (sent.outcome, sent.detail) == (None, "")


def test_decision_expires_one_minute_after_its_turn_and_five_after_the_click() -> None:
    """The earlier limit counts. A decision that waits for its turn has only the limit of its click."""
    assert (DECISION_SPAN, QUEUE_SPAN) == (60 * SECOND, 300 * SECOND)
    waiting = decision(HANAKO)
    assert waiting.deadline == NOW + 300 * SECOND
    for turn, deadline in ((0, 60), (100, 160), (240, 300), (299, 300)):
        assert replace(waiting, turn_at=NOW + turn * SECOND).deadline == NOW + deadline * SECOND
