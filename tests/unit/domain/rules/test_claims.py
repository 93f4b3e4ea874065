"""Tests for bot.domain.rules.claims: which clicks become decisions."""

from dataclasses import replace
from datetime import datetime
from itertools import product

import pytest

from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person
from bot.domain.request import AccessRequest, Level, LevelState, Status, Verdict, Vote, Withdrawal
from bot.domain.rules.claims import EFFECT_SPAN, Claim, ClaimRefusal, claim, has_room, withdrawn_by
from tests.fakes.chat import HANAKO, ICHIRO, person
from tests.unit.domain.sample import NOW, SECOND, decision, level, request

CLAIMED, SENT, CONFIRMED, REFUSED, UNKNOWN, RELEASED = DecisionState
APPROVE, REJECT = Verdict
MEI = person(3)
SESSIONS = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"


def claimed(
    clicker: Person = HANAKO,
    verdict: Verdict = APPROVE,
    *decisions: Decision,
    asked: AccessRequest | None = None,
    step: str = "Level1",
    now: datetime = NOW + SECOND,
) -> Claim:
    """Return the answer to a claim, by default one that is made a second after NOW."""
    return claim(
        person=clicker,
        action=verdict,
        step=step,
        request=asked or request(),
        decisions=decisions,
        now=now,
    )


@pytest.mark.parametrize("verdict", Verdict)
def test_first_claim_on_a_request_is_granted(verdict: Verdict) -> None:
    """Without earlier decisions, a person may approve or reject."""
    assert claimed(HANAKO, verdict) == Claim()


@pytest.mark.parametrize("state", [CLAIMED, SENT, UNKNOWN, CONFIRMED])
@pytest.mark.parametrize("verdict", Verdict)
def test_second_click_is_a_repeat_of_the_first_decision(state: DecisionState, verdict: Verdict) -> None:
    """After a person's live or accepted decision, Approve is a repeat, also if the request has ended.

    The person is recognized by the object id, also in capitals.
    """
    first = decision(HANAKO, verdict, state)
    shouting = replace(HANAKO, object_id=HANAKO.object_id.upper())
    assert claimed(shouting, APPROVE, first, asked=request(level(required=5))) == Claim(ClaimRefusal.REPEAT, first)
    ended = request(status=Status.APPROVED)
    assert claimed(HANAKO, APPROVE, first, asked=ended) == Claim(ClaimRefusal.REPEAT, first)


@pytest.mark.parametrize("state", [SENT, UNKNOWN, CONFIRMED])
def test_reject_after_a_sent_approval_of_the_same_person_is_a_repeat(state: DecisionState) -> None:
    """Only an approval that was not sent can be replaced."""
    first = decision(HANAKO, APPROVE, state)
    assert claimed(HANAKO, REJECT, first, asked=request(level(required=5))) == Claim(ClaimRefusal.REPEAT, first)


@pytest.mark.parametrize("approvers", [(HANAKO,), (ICHIRO,), (HANAKO, ICHIRO)])
def test_reject_withdraws_approvals_that_are_not_sent(approvers: tuple[Person, ...]) -> None:
    """A reject withdraws unsent approvals at its step, also the person's own.

    It leaves approvals at other steps, sent approvals, and other rejects. Approve and Revoke withdraw no decision.
    """
    waiting = tuple(decision(each, APPROVE, CLAIMED) for each in approvers)
    elsewhere = decision(ICHIRO, APPROVE, CLAIMED, step="Level2")
    assert claimed(HANAKO, REJECT, *waiting, elsewhere, asked=request(level(required=2))) == Claim()
    assert withdrawn_by(REJECT, "Level1", (*waiting, elsewhere)) == waiting
    for action in (APPROVE, Withdrawal.REVOKE):
        assert withdrawn_by(action, "Level1", waiting) == ()
    for state in (SENT, UNKNOWN, CONFIRMED, REFUSED, RELEASED):
        assert withdrawn_by(REJECT, "Level1", (decision(ICHIRO, APPROVE, state),)) == ()
    assert withdrawn_by(REJECT, "Level1", (decision(ICHIRO, REJECT, CLAIMED),)) == ()


@pytest.mark.parametrize("state", [REFUSED, RELEASED])
def test_refused_or_released_decision_blocks_no_further_claim(state: DecisionState) -> None:
    """It blocks neither the same person nor another person."""
    assert claimed(HANAKO, APPROVE, decision(HANAKO, APPROVE, state), decision(ICHIRO, REJECT, state)) == Claim()


@pytest.mark.parametrize("status", [status for status in Status if status.ended])
def test_claim_on_an_ended_request_is_refused(status: Status) -> None:
    """A request that has ended cannot be decided."""
    assert claimed(asked=request(status=status)) == Claim(ClaimRefusal.ENDED)


def test_claim_at_a_passed_step_is_refused() -> None:
    """If a later step waits, a click at an earlier step is too late."""
    asked = request(level("Level1", state=LevelState.APPROVED), level("Level2"))
    assert claimed(asked=asked, step="Level1") == Claim(ClaimRefusal.STEP_PASSED)
    assert claimed(asked=asked, step="Level2") == Claim()


def test_approver_of_one_step_may_decide_at_the_next() -> None:
    """A decision at the first step blocks no one at the second."""
    asked = request(level("Level1", state=LevelState.APPROVED), level("Level2"))
    first = decision(HANAKO, APPROVE, CONFIRMED, step="Level1")
    assert claimed(HANAKO, APPROVE, first, asked=asked, step="Level2") == Claim()
    assert claimed(ICHIRO, REJECT, first, asked=asked, step="Level2") == Claim()


@pytest.mark.parametrize("state", [CLAIMED, SENT, UNKNOWN])
@pytest.mark.parametrize(("theirs", "mine"), list(product(Verdict, Verdict)))
def test_live_vote_at_a_level_that_needs_one_approval_blocks_other_people(
    state: DecisionState, theirs: Verdict, mine: Verdict
) -> None:
    """Exception: an approval that was not sent does not block a reject."""
    other = decision(ICHIRO, theirs, state)
    replaced = (theirs, mine, state) == (APPROVE, REJECT, CLAIMED)
    assert claimed(HANAKO, mine, other) == (Claim() if replaced else Claim(ClaimRefusal.OTHERS_FIRST))


@pytest.mark.parametrize(
    ("required", "seen", "live", "granted"),
    [
        (2, 0, 0, True),
        (2, 0, 1, True),
        (2, 0, 2, False),
        (2, 1, 0, True),
        (2, 1, 1, False),
        (3, 1, 1, True),
        (1, 0, 1, False),
    ],
)
def test_claim_is_refused_if_live_approvals_would_exceed_the_missing_ones(
    required: int, seen: int, live: int, granted: bool
) -> None:
    """The number of live approvals is never higher than the number that AWS still needs."""
    asked = request(level(required=required, approvals=seen))
    others = [decision(person(number)) for number in range(live)]
    assert (claimed(HANAKO, APPROVE, *others, asked=asked).refusal is None) is granted


def test_sent_approval_blocks_rejects_and_sent_reject_blocks_every_vote() -> None:
    """The rule holds even if three approvals are missing."""
    asked = request(level(required=3))
    approving, rejecting = decision(ICHIRO, APPROVE, SENT), decision(ICHIRO, REJECT, SENT)
    assert claimed(HANAKO, REJECT, approving, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, rejecting, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, REJECT, rejecting, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)


def test_accepted_approval_counts_before_a_read_shows_it() -> None:
    """An approval that AWS accepted after the last read counts immediately, so the bot never sends too many."""
    unseen = decision(ICHIRO, APPROVE, CONFIRMED)
    for verdict in Verdict:
        assert claimed(HANAKO, verdict, unseen) == Claim(ClaimRefusal.OTHERS_FIRST)
    two = request(level(required=2))
    assert claimed(HANAKO, APPROVE, unseen, asked=two) == Claim()
    assert claimed(HANAKO, APPROVE, unseen, decision(MEI), asked=two).refusal is ClaimRefusal.OTHERS_FIRST


def test_approval_that_aws_lists_counts_once() -> None:
    """An approval in both the row and AWS's list of votes counts only once."""
    seen = decision(ICHIRO, APPROVE, CONFIRMED)
    listed = replace(level(required=2), votes=(Vote(f"{SESSIONS}/{ICHIRO.upn}", APPROVE),))
    assert claimed(HANAKO, APPROVE, seen, asked=request(listed)) == Claim()


def test_accepted_vote_that_aws_does_not_show_blocks_others_for_one_minute_only() -> None:
    """A signal may take effect late. But a vote that AWS never shows must not block others forever."""
    hidden = decision(ICHIRO, APPROVE, CONFIRMED)
    assert claimed(HANAKO, APPROVE, hidden, now=NOW + 59 * SECOND) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, hidden, now=NOW + 61 * SECOND) == Claim()


def test_accepted_rejection_blocks_every_vote_before_a_read_shows_it() -> None:
    """Once AWS has accepted a rejection, no vote gets a claim, even at a level that needs many approvals."""
    rejected = decision(ICHIRO, REJECT, CONFIRMED)
    for verdict in Verdict:
        answer = claimed(HANAKO, verdict, rejected, asked=request(level(required=5)))
        assert answer == Claim(ClaimRefusal.OTHERS_FIRST)


@pytest.mark.parametrize(
    "unreadable",
    [level(required=None), level(approvals=None), level(required=None, approvals=None), None],
)
def test_unreadable_level_grants_one_claim_at_a_time(unreadable: Level | None) -> None:
    """A live vote blocks others. So does an accepted one for a minute.

    The required number is unknown, or the level, or the votes at a level that needs one approval.
    """
    asked = replace(request(), levels=(unreadable,) if unreadable else ())
    live, unseen = decision(ICHIRO, APPROVE, SENT), decision(ICHIRO, APPROVE, CONFIRMED)
    assert claimed(HANAKO, APPROVE, asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, live, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, unseen, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, unseen, asked=asked, now=NOW + 61 * SECOND) == Claim()


def test_unreadable_votes_do_not_block_the_next_approver_for_a_minute() -> None:
    """If three approvals are needed, two more are granted right after an accepted one, one at a time."""
    asked = request(level(approvals=None, required=3))
    mei, ichiro = decision(MEI, APPROVE, CONFIRMED), decision(ICHIRO, APPROVE, CONFIRMED)
    assert claimed(HANAKO, APPROVE, mei, asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, mei, ichiro, asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, mei, decision(ICHIRO), asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(person(4), APPROVE, mei, ichiro, decision(HANAKO, APPROVE, CONFIRMED), asked=asked) == Claim(
        ClaimRefusal.OTHERS_FIRST
    )
    assert claimed(HANAKO, APPROVE, decision(ICHIRO, REJECT, CONFIRMED), asked=asked) == Claim(
        ClaimRefusal.OTHERS_FIRST
    )


def test_level_that_waits_despite_enough_votes_grants_one_more_claim() -> None:
    """AWS did not count all of the votes, so one more claim is granted, never two."""
    asked = request(level(required=1, approvals=2))
    assert claimed(asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, decision(ICHIRO), asked=asked).refusal is ClaimRefusal.OTHERS_FIRST


def room(*others: Decision, needed: Level, verdict: Verdict = APPROVE, now: datetime = NOW + SECOND) -> bool:
    """Return whether a vote of HANAKO, which is about to be sent, has room beside other people's decisions."""
    own = decision(HANAKO, verdict)
    return has_room(own, needed, (own, *others), now)


@pytest.mark.parametrize(
    ("state", "full"),
    [(CLAIMED, False), (SENT, True), (UNKNOWN, True), (CONFIRMED, True), (REFUSED, False), (RELEASED, False)],
)
@pytest.mark.parametrize("verdict", Verdict)
def test_vote_is_not_sent_if_votes_that_may_have_reached_aws_complete_the_level(
    state: DecisionState, full: bool, verdict: Verdict
) -> None:
    """Votes that never reached AWS do not count."""
    other = decision(ICHIRO, state=state)
    assert room(other, needed=level(), verdict=verdict) is not full
    assert room(other, needed=level(required=2), verdict=verdict)
    assert room(other, needed=level(required=2, approvals=1), verdict=verdict) is not full
    assert room(other, needed=level("Level2"), verdict=verdict)  # the other vote is at another level


def test_sent_vote_that_aws_lists_is_counted_once_before_sending() -> None:
    """A sent vote that is among the level's votes was counted already."""
    shown = replace(level(required=2), votes=(Vote(f"{SESSIONS}/{ICHIRO.session_name}", APPROVE),))
    assert room(decision(ICHIRO, state=SENT), needed=shown)
    assert not room(decision(MEI, state=SENT), needed=shown)


def test_accepted_vote_that_aws_does_not_show_does_not_count_after_a_minute() -> None:
    """AWS has evidently not counted it, and another person must be able to decide."""
    accepted = decision(ICHIRO, state=CONFIRMED)
    assert not room(accepted, needed=level(), now=NOW + EFFECT_SPAN - SECOND)
    assert room(accepted, needed=level(), now=NOW + EFFECT_SPAN)


def test_one_more_vote_may_be_sent_if_a_level_waits_with_complete_approvals() -> None:
    """AWS waits, so it needs at least one more vote: its counts may be from different moments."""
    assert room(needed=level(required=1, approvals=3))
    assert not room(decision(ICHIRO, state=SENT), needed=level(required=1, approvals=3))


@pytest.mark.parametrize("unknown", [level(required=None), level(approvals=None)])
def test_vote_may_be_sent_while_the_number_of_missing_approvals_is_unknown(unknown: Level) -> None:
    """The claim has then allowed only this vote at its level."""
    assert room(decision(ICHIRO, state=SENT), needed=unknown)


def test_sent_votes_do_not_block_a_revocation() -> None:
    """A revocation is not a vote."""
    own = replace(decision(HANAKO), verdict=Withdrawal.REVOKE)
    assert has_room(own, level(), (own, decision(ICHIRO, state=SENT)), NOW)


def test_sent_revocation_does_not_count_as_a_vote() -> None:
    """A revocation changes access that a vote has granted, and is no vote itself."""
    sent = replace(decision(ICHIRO, state=SENT), verdict=Withdrawal.REVOKE)
    assert room(sent, needed=level())
