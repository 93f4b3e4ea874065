"""bot.domain.claims: of all who may decide, who goes on."""

from dataclasses import replace
from datetime import datetime
from itertools import product

import pytest

from bot.domain.claims import Claim, ClaimRefusal, claim
from bot.domain.decision import Decision, DecisionState
from bot.domain.identity import Person
from bot.domain.request import AccessRequest, Level, LevelState, Status, Verdict, Vote
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
    """Ask for a claim, a second after what was decided before."""
    return claim(
        person=clicker,
        action=verdict,
        step=step,
        request=asked or request(),
        decisions=decisions,
        now=now,
    )


@pytest.mark.parametrize("verdict", Verdict)
def test_the_first_goes_on(verdict: Verdict) -> None:
    """With nobody in the way a claim is granted."""
    assert claimed(HANAKO, verdict) == Claim()


@pytest.mark.parametrize("state", [CLAIMED, SENT, UNKNOWN, CONFIRMED])
@pytest.mark.parametrize("verdict", Verdict)
def test_a_repeat_is_answered_from_the_first(state: DecisionState, verdict: Verdict) -> None:
    """Who has a decision on its way, of unknown effect or accepted, gets no second one, whatever they press."""
    first = decision(HANAKO, APPROVE, state)
    shouting = replace(HANAKO, object_id=HANAKO.object_id.upper())
    assert claimed(shouting, verdict, first, asked=request(level(required=5))) == Claim(ClaimRefusal.REPEAT, first)
    ended = request(status=Status.APPROVED)
    assert claimed(HANAKO, verdict, first, asked=ended) == Claim(ClaimRefusal.REPEAT, first)


@pytest.mark.parametrize("state", [REFUSED, RELEASED])
def test_what_came_to_nothing_may_be_tried_again(state: DecisionState) -> None:
    """A refused or released decision stands in nobody's way, not in its own person's either."""
    assert claimed(HANAKO, APPROVE, decision(HANAKO, APPROVE, state), decision(ICHIRO, REJECT, state)) == Claim()


@pytest.mark.parametrize("status", [status for status in Status if status.ended])
def test_an_ended_request_takes_no_claim(status: Status) -> None:
    """What has ended cannot be decided."""
    assert claimed(asked=request(status=status)) == Claim(ClaimRefusal.ENDED)


def test_a_step_that_passed_takes_no_claim() -> None:
    """While another step waits, a click on this one is late."""
    asked = request(level("Level1", state=LevelState.APPROVED), level("Level2"))
    assert claimed(asked=asked, step="Level1") == Claim(ClaimRefusal.STEP_PASSED)
    assert claimed(asked=asked, step="Level2") == Claim()


def test_each_step_has_its_own_decisions() -> None:
    """Who approved at the first step may decide at the second, and is in nobody's way there."""
    asked = request(level("Level1", state=LevelState.APPROVED), level("Level2"))
    first = decision(HANAKO, APPROVE, CONFIRMED, step="Level1")
    assert claimed(HANAKO, APPROVE, first, asked=asked, step="Level2") == Claim()
    assert claimed(ICHIRO, REJECT, first, asked=asked, step="Level2") == Claim()


@pytest.mark.parametrize("state", [CLAIMED, SENT, UNKNOWN])
@pytest.mark.parametrize(("theirs", "mine"), list(product(Verdict, Verdict)))
def test_one_approval_lets_one_through(state: DecisionState, theirs: Verdict, mine: Verdict) -> None:
    """At a one-approval level a live decision keeps everybody else out, and they learn whose it is."""
    other = decision(ICHIRO, theirs, state)
    assert claimed(HANAKO, mine, other) == Claim(ClaimRefusal.OTHERS_FIRST)


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
def test_approvals_stay_within_what_is_missing(required: int, seen: int, live: int, granted: bool) -> None:
    """As many approvals may be on their way as AWS still lacks, and no more."""
    asked = request(level(required=required, approvals=seen))
    others = [decision(person(number)) for number in range(live)]
    assert (claimed(HANAKO, APPROVE, *others, asked=asked).refusal is None) is granted


def test_a_reject_goes_alone() -> None:
    """However many approvals are missing, a reject and an approval are never on their way together."""
    asked = request(level(required=3))
    approving, rejecting = decision(ICHIRO, APPROVE, SENT), decision(ICHIRO, REJECT, SENT)
    assert claimed(HANAKO, REJECT, approving, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, rejecting, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, REJECT, rejecting, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)


def test_what_aws_took_but_no_look_has_shown_yet_counts() -> None:
    """An accepted approval that the last look could not know of is not missing any more: no overshoot in between."""
    unseen = decision(ICHIRO, APPROVE, CONFIRMED)
    for verdict in Verdict:
        assert claimed(HANAKO, verdict, unseen) == Claim(ClaimRefusal.OTHERS_FIRST)
    two = request(level(required=2))
    assert claimed(HANAKO, APPROVE, unseen, asked=two) == Claim()
    assert claimed(HANAKO, APPROVE, unseen, decision(MEI), asked=two).refusal is ClaimRefusal.OTHERS_FIRST


def test_what_a_look_has_shown_counts_once() -> None:
    """An approval that AWS lists is not counted a second time from the row."""
    seen = decision(ICHIRO, APPROVE, CONFIRMED)
    listed = replace(level(required=2), votes=(Vote(f"{SESSIONS}/{ICHIRO.upn}", APPROVE),))
    assert claimed(HANAKO, APPROVE, seen, asked=request(listed)) == Claim()


def test_an_accepted_vote_is_waited_for_a_minute() -> None:
    """A signal is an event whose effect may come later; a vote that never shows must not block the others for ever."""
    hidden = decision(ICHIRO, APPROVE, CONFIRMED)
    assert claimed(HANAKO, APPROVE, hidden, now=NOW + 59 * SECOND) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, hidden, now=NOW + 61 * SECOND) == Claim()


def test_an_accepted_reject_ends_it_before_a_look_shows_so() -> None:
    """After a reject that AWS took nothing else is sent, even at a level of many approvals."""
    rejected = decision(ICHIRO, REJECT, CONFIRMED)
    for verdict in Verdict:
        answer = claimed(HANAKO, verdict, rejected, asked=request(level(required=5)))
        assert answer == Claim(ClaimRefusal.OTHERS_FIRST)


@pytest.mark.parametrize(
    "unreadable",
    [level(required=None), level(approvals=None, required=3), level(required=None, approvals=None), None],
)
def test_what_cannot_be_read_goes_one_at_a_time(unreadable: Level | None) -> None:
    """Without votes or the number required, one decision at a time, and the next only after a look."""
    asked = replace(request(), levels=(unreadable,) if unreadable else ())
    live, unseen = decision(ICHIRO, APPROVE, SENT), decision(ICHIRO, APPROVE, CONFIRMED)
    assert claimed(HANAKO, APPROVE, asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, live, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, unseen, asked=asked) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert claimed(HANAKO, APPROVE, unseen, asked=asked, now=NOW + 61 * SECOND) == Claim()


def test_a_level_that_waits_although_enough_voted_takes_one_more() -> None:
    """AWS did not count all of the votes; one more is let through, never two."""
    asked = request(level(required=1, approvals=2))
    assert claimed(asked=asked) == Claim()
    assert claimed(HANAKO, APPROVE, decision(ICHIRO), asked=asked).refusal is ClaimRefusal.OTHERS_FIRST
