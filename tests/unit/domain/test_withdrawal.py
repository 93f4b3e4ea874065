"""Tests for revocations and cancellations: who may make them, which clicks become decisions, and their results."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import (
    STATUS_AFTER,
    AccessRequest,
    Action,
    Approver,
    ApproverKind,
    LevelState,
    Status,
    Verdict,
    Withdrawal,
    asked_of_aws,
)
from bot.domain.routing import LevelRule
from bot.domain.rules.claims import EFFECT_SPAN, Claim, ClaimRefusal, awaits_effect, claim
from bot.domain.rules.permission import (
    Membership,
    Refusal,
    can_be_cancelled,
    can_be_revoked,
    may_cancel,
    may_decide,
    may_give_back,
)
from bot.domain.shown.decided import deciding_line, decision_lines, was_given_back
from tests.fakes.aws import key_of
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON, TENANT
from tests.unit.domain.sample import (
    APPROVALS,
    KEY,
    NOW,
    SECOND,
    TARO_REQUESTER,
    TENANT_ID,
    decision,
    level,
    request,
    settled,
)

CLAIMED, SENT, CONFIRMED, REFUSED, UNKNOWN, RELEASED = DecisionState
APPROVE, REJECT = Verdict
REVOKE, CANCEL, GIVE_BACK = Withdrawal
LIVE = (CLAIMED, SENT, UNKNOWN)
ALONG = NOW + SECOND
UNIDENTIFIED = replace(TARO_REQUESTER, identified=False, person=None)
FOREIGN_TENANT = TENANT.replace("1", "9")


def granted(**facts: object) -> AccessRequest:
    """Return an approved request with an hour of active access, approved at the second of two levels."""
    done = LevelState.APPROVED
    levels = (level("Level1", state=done), level("Level2", state=done))
    running = request(*levels, status=Status.APPROVED, access_until=NOW + 3600 * SECOND)
    return replace(running, **facts)  # type: ignore[arg-type]  # facts are fields of the request


def taken_back(
    clicker: Person, withdrawal: Withdrawal, *decisions: Decision, now: datetime = ALONG, **facts: object
) -> Claim:
    """Return the answer to a claim to revoke active access or to cancel a waiting request.

    `facts` change the request.
    """
    sample = request() if withdrawal is CANCEL else granted()
    asked = replace(sample, **facts)  # type: ignore[arg-type]  # facts are fields of the request
    step = "Level2" if withdrawal is REVOKE else ""
    return claim(person=clicker, action=withdrawal, step=step, request=asked, decisions=decisions, now=now)


def made(by: Person, action: Action, state: DecisionState = CLAIMED, *, step: str | None = None) -> Decision:
    """Return a decision of this person, by default at the step at which such a decision is usually made."""
    steps: dict[Action, str] = {REVOKE: "Level2", CANCEL: "", GIVE_BACK: ""}
    usual = steps.get(action, "Level1")
    own = decision(by, APPROVE, state, step=usual if step is None else step)
    return replace(own, verdict=asked_of_aws(action), given_back=action is GIVE_BACK, id=f"{by.object_id} {action}")


# --- which clicks become decisions


@pytest.mark.parametrize("withdrawal", Withdrawal)
def test_first_revocation_or_cancellation_is_granted(withdrawal: Withdrawal) -> None:
    """Without earlier decisions, a person may revoke or cancel."""
    assert taken_back(HANAKO, withdrawal) == Claim()


@pytest.mark.parametrize("withdrawal", Withdrawal)
@pytest.mark.parametrize("state", [*LIVE, CONFIRMED])
def test_only_one_revocation_or_cancellation_is_active_at_a_time(withdrawal: Withdrawal, state: DecisionState) -> None:
    """While AWS does not show the result, the same person's second click is a repeat, and other people are refused."""
    first = made(HANAKO, withdrawal, state)
    assert taken_back(HANAKO, withdrawal, first) == Claim(ClaimRefusal.REPEAT, first)
    assert taken_back(ICHIRO, withdrawal, first) == Claim(ClaimRefusal.OTHERS_FIRST)


@pytest.mark.parametrize("withdrawal", Withdrawal)
@pytest.mark.parametrize("state", [REFUSED, RELEASED])
def test_revocation_or_cancellation_without_effect_may_be_repeated(
    withdrawal: Withdrawal, state: DecisionState
) -> None:
    """A refused or released withdrawal does not block the same person or another."""
    assert taken_back(HANAKO, withdrawal, made(HANAKO, withdrawal, state), made(ICHIRO, withdrawal, state)) == Claim()


@pytest.mark.parametrize("withdrawal", Withdrawal)
@pytest.mark.parametrize("by", [HANAKO, ICHIRO])
def test_accepted_revocation_or_cancellation_blocks_a_second_one_for_one_minute_only(
    withdrawal: Withdrawal, by: Person
) -> None:
    """If AWS does not show the withdrawal after a minute, the same person and others may repeat it."""
    hidden = made(by, withdrawal, CONFIRMED)
    assert taken_back(HANAKO, withdrawal, hidden, now=NOW + EFFECT_SPAN - SECOND).refusal is not None
    assert taken_back(HANAKO, withdrawal, hidden, now=NOW + EFFECT_SPAN) == Claim()


REVOCABLE = {"approved": True, **{str(each): False for each in Status if each is not Status.APPROVED}}


@pytest.mark.parametrize("status", Status)
def test_only_an_approved_request_can_be_revoked(status: Status) -> None:
    """A request in any status other than approved cannot be revoked."""
    assert can_be_revoked(granted(status=status), NOW) is REVOCABLE[status]
    assert (taken_back(HANAKO, REVOKE, status=status) == Claim()) is REVOCABLE[status]


@pytest.mark.parametrize(
    "facts", [{"access_until": None}, {"access_until": NOW}, {"access_until": NOW - SECOND}, {"execution_id": None}]
)
def test_access_not_known_to_be_active_cannot_be_revoked(facts: dict[str, object]) -> None:
    """Access without an end in the future, or without an execution to signal, cannot be revoked."""
    assert not can_be_revoked(granted(**facts), NOW)
    answer = claim(person=HANAKO, action=REVOKE, step="Level2", request=granted(**facts), decisions=(), now=ALONG)
    assert answer == Claim(ClaimRefusal.ENDED)


def test_revocation_is_refused_at_a_step_that_did_not_settle_the_request() -> None:
    """Only the step that settled the request grants a claim."""
    answer = claim(person=HANAKO, action=REVOKE, step="Level1", request=granted(), decisions=(), now=ALONG)
    assert answer == Claim(ClaimRefusal.STEP_PASSED)


@pytest.mark.parametrize("status", Status)
def test_only_a_waiting_request_can_be_cancelled(status: Status) -> None:
    """The request must be pending, have an automation execution, and not be a copy from another account."""
    open_ = status is Status.PENDING
    assert can_be_cancelled(request(status=status)) is open_
    assert (taken_back(TARO_PERSON, CANCEL, status=status) == Claim()) is open_
    assert not can_be_cancelled(request(execution_id=None))
    assert not can_be_cancelled(request(replica_of=key_of(2)))


@pytest.mark.parametrize("state", LIVE)
@pytest.mark.parametrize("vote", Verdict)
@pytest.mark.parametrize("step", ["Level1", "Level2"])
def test_live_votes_and_live_cancellations_block_each_other(state: DecisionState, vote: Verdict, step: str) -> None:
    """The exception: an approval that waits for its turn does not block a cancellation."""
    live = replace(made(HANAKO, vote, state, step=step), turn_at=NOW)
    assert taken_back(TARO_PERSON, CANCEL, live) == Claim(ClaimRefusal.OTHERS_FIRST)
    withdrawn = (vote, state) == (Verdict.APPROVE, DecisionState.CLAIMED)
    queued = taken_back(TARO_PERSON, CANCEL, replace(live, turn_at=None))
    assert queued == (Claim() if withdrawn else Claim(ClaimRefusal.OTHERS_FIRST))
    asked = request(level("Level1", state=LevelState.APPROVED), level("Level2")) if step == "Level2" else request()
    cancelling = made(TARO_PERSON, CANCEL, state)
    answer = claim(person=HANAKO, action=vote, step=step, request=asked, decisions=(cancelling,), now=ALONG)
    assert answer == Claim(ClaimRefusal.OTHERS_FIRST)


@pytest.mark.parametrize("vote", Verdict)
def test_accepted_votes_and_cancellations_exclude_each_other_for_one_minute(vote: Verdict) -> None:
    """For one minute, an accepted vote blocks a cancellation, and an accepted cancellation blocks every vote."""
    accepted, late = made(HANAKO, vote, CONFIRMED), NOW + EFFECT_SPAN
    assert taken_back(TARO_PERSON, CANCEL, accepted) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert taken_back(TARO_PERSON, CANCEL, accepted, now=late) == Claim()
    cancelled = made(TARO_PERSON, CANCEL, CONFIRMED)
    for now, refusal in ((ALONG, ClaimRefusal.OTHERS_FIRST), (late, None)):
        answer = claim(person=HANAKO, action=vote, step="Level1", request=request(), decisions=(cancelled,), now=now)
        assert answer.refusal is refusal


@pytest.mark.parametrize("state", LIVE)
def test_live_revocations_and_returns_of_access_block_each_other(state: DecisionState) -> None:
    """AWS gets the same signal for both, so one of them is enough. Votes block neither."""
    others = (made(TARO_PERSON, GIVE_BACK, state), made(HANAKO, REVOKE, state))
    assert taken_back(HANAKO, REVOKE, others[0]) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert taken_back(TARO_PERSON, GIVE_BACK, others[1]) == Claim(ClaimRefusal.OTHERS_FIRST)
    assert taken_back(TARO_PERSON, GIVE_BACK, made(HANAKO, APPROVE, state, step="Level2")) == Claim()


def test_own_approval_does_not_block_a_revocation() -> None:
    """Approvers may revoke, whatever the state of their own votes, even if a vote's effect is unknown."""
    votes = [made(HANAKO, APPROVE, state, step="Level2") for state in DecisionState]
    assert taken_back(HANAKO, REVOKE, *votes) == Claim()


@pytest.mark.parametrize(
    ("action", "status", "awaited"),
    [
        (REVOKE, Status.APPROVED, True),
        (REVOKE, Status.REVOKED, False),
        (REVOKE, Status.GONE, False),
        (CANCEL, Status.PENDING, True),
        (CANCEL, Status.UNKNOWN, True),
        (CANCEL, Status.CANCELLED, False),
        (CANCEL, Status.APPROVED, False),
        (APPROVE, Status.PENDING, True),
        (APPROVE, Status.REVOKED, False),
    ],
)
def test_effect_of_an_accepted_decision_is_awaited_until_aws_shows_it(
    action: Action, status: Status, awaited: bool
) -> None:
    """The wait also ends if the request has another final status."""
    accepted = made(HANAKO, action, CONFIRMED)
    assert awaits_effect(accepted, request(status=status), ALONG) is awaited
    assert awaits_effect(accepted, None, ALONG), "while nothing is known"


# --- who may withdraw


def revoking(
    clicker: Person = HANAKO, *, asked: AccessRequest | None = None, step: str = "Level2", **more: object
) -> Refusal | None:
    """Return the refusal of a revocation, or None. Every argument has a default that allows the revocation."""
    usual: dict[str, object] = {
        "requester": TARO_REQUESTER,
        "channel": APPROVALS,
        "membership": Membership(member=True),
        "tenant_id": TENANT_ID,
        "allow_unidentified": False,
        "approved_other_level": True,
        "comment": "",
    }
    asked = asked or granted()
    return may_decide(clicker, action=REVOKE, request=asked, step=step, **usual | more)  # type: ignore[arg-type]  # usual arguments


CONSOLE = replace(level("Level2", state=LevelState.APPROVED), approvers=(Approver(ApproverKind.GROUP, "a-group"),))
OTHERS = replace(APPROVALS, levels=(LevelRule("Level2", (f"user:{ICHIRO.object_id}",)),))


@pytest.mark.parametrize(
    ("why", "asked", "expected"),
    [
        ("an approver of that channel", {}, None),
        ("a stranger", {"membership": Membership(member=False)}, Refusal.NOT_APPROVER),
        ("a roster that fails", {"membership": Membership(member=None)}, Refusal.ROSTER_UNAVAILABLE),
        ("no approvers at all", {"channel": replace(APPROVALS, approvers=())}, Refusal.NOBODY),
        ("not an approver of that level", {"channel": OTHERS}, Refusal.NOT_APPROVER),
        ("the requester", {"clicker": TARO_PERSON}, Refusal.OWN_REQUEST),
        ("an unidentified requester", {"requester": UNIDENTIFIED}, Refusal.UNIDENTIFIED),
        ("an unidentified requester, allowed", {"requester": UNIDENTIFIED, "allow_unidentified": True}, None),
        ("nothing to compare", {"clicker": replace(HANAKO, upn=None, mail=None)}, Refusal.NOT_COMPARABLE),
        ("a guest", {"clicker": replace(HANAKO, guest=True)}, Refusal.FOREIGN),
        ("another tenant", {"clicker": replace(HANAKO, tenant_id=FOREIGN_TENANT)}, Refusal.FOREIGN),
        ("no object id", {"clicker": replace(HANAKO, object_id="")}, Refusal.FOREIGN),
        ("a copy", {"asked": granted(replica_of=key_of(2))}, Refusal.REPLICA),
        ("console only", {"asked": granted(levels=(CONSOLE,))}, Refusal.CONSOLE_ONLY),
        ("a forged step", {"step": "Level1"}, Refusal.OTHER_STEP),
        ("no step", {"step": ""}, Refusal.OTHER_STEP),
        ("not approved", {"asked": request()}, Refusal.UNREADABLE),
        ("levels that were never read", {"asked": granted(levels=())}, Refusal.UNREADABLE),
    ],
)
def test_person_who_may_not_approve_at_the_settling_step_may_not_revoke(
    why: str, asked: dict[str, object], expected: Refusal | None
) -> None:
    """The settling step is the one that settled the request. The parameters name the causes of the refusals."""
    assert revoking(**asked) is expected, why  # type: ignore[arg-type]  # rows of the table


@pytest.mark.parametrize("action", [CANCEL, GIVE_BACK])
def test_rules_for_approvers_refuse_the_requesters_actions(action: Action) -> None:
    """The rules for approvers refuse them with NOT_REQUESTER, even where they would allow an approval."""
    refusal = may_decide(
        HANAKO,
        action=action,
        comment="",
        request=request(),
        requester=TARO_REQUESTER,
        channel=APPROVALS,
        step="Level1",
        membership=Membership(member=True),
        tenant_id=TENANT_ID,
        allow_unidentified=True,
        approved_other_level=False,
    )
    assert refusal is Refusal.NOT_REQUESTER


ELSEWHERE = replace(TARO_PERSON, tenant_id=FOREIGN_TENANT)
SAME_MAIL = replace(HANAKO, upn=TARO_PERSON.upn, mail=TARO_PERSON.mail, teams_id=TARO_PERSON.teams_id)


OWN_ACTIONS = {
    CANCEL: (may_cancel, request()),
    GIVE_BACK: (may_give_back, granted()),
}  # the rule, and a fitting request


@pytest.mark.parametrize("action", OWN_ACTIONS)
@pytest.mark.parametrize(
    ("why", "changed", "expected"),
    [
        ("the requester", {}, None),
        ("in capitals", {"clicker": replace(TARO_PERSON, object_id=TARO_PERSON.object_id.upper())}, None),
        ("somebody else", {"clicker": HANAKO}, Refusal.NOT_REQUESTER),
        ("somebody with the same address", {"clicker": SAME_MAIL}, Refusal.NOT_REQUESTER),
        ("the same id in another tenant", {"clicker": ELSEWHERE}, Refusal.FOREIGN),
        ("no object id", {"clicker": replace(TARO_PERSON, object_id="")}, Refusal.FOREIGN),
        ("no tenant configured", {"tenant_id": ""}, Refusal.FOREIGN),
        ("unidentified", {"requester": UNIDENTIFIED}, Refusal.UNIDENTIFIED),
        (
            "unidentified though a person is known",
            {"requester": replace(TARO_REQUESTER, identified=False)},
            Refusal.UNIDENTIFIED,
        ),
        ("identified by an address alone", {"requester": replace(TARO_REQUESTER, person=None)}, Refusal.UNIDENTIFIED),
        (
            "a roster that has them in another tenant",
            {"requester": replace(TARO_REQUESTER, person=ELSEWHERE)},
            Refusal.NOT_REQUESTER,
        ),
        ("a forged step", {"step": "Level1"}, Refusal.OTHER_STEP),
        ("a copy", {"facts": {"replica_of": key_of(2)}}, Refusal.REPLICA),
        ("rejected", {"facts": {"status": Status.REJECTED}}, Refusal.UNREADABLE),
        ("an unknown state", {"facts": {"status": Status.UNKNOWN}}, Refusal.UNREADABLE),
        ("no execution", {"facts": {"execution_id": None}}, Refusal.UNREADABLE),
    ],
)
def test_only_the_requester_may_cancel_or_give_back(
    why: str, changed: dict[str, Any], expected: Refusal | None, action: Withdrawal
) -> None:
    """Only the Teams user identified as the requester, by object id and tenant.

    Addresses are not compared.
    """
    usual: dict[str, Any] = {"requester": TARO_REQUESTER, "step": "", "tenant_id": TENANT_ID, "has_role": True}
    given, (rule, sample) = usual | changed, OWN_ACTIONS[action]
    asked = replace(sample, **given.pop("facts", {}))
    clicker = given.pop("clicker", TARO_PERSON)
    assert rule(clicker, request=asked, **given) is expected, why


def test_requesters_withdraw_only_with_a_role_and_in_the_right_state() -> None:
    """A waiting request can be cancelled, and granted access given back, each with its own role."""
    usual: dict[str, Any] = {"requester": TARO_REQUESTER, "step": "", "tenant_id": TENANT_ID}
    for rule, asked, has_role, expected in (
        (may_cancel, request(), False, Refusal.NO_CANCEL_ROLE),
        (may_cancel, granted(), True, Refusal.UNREADABLE),
        (may_give_back, granted(), False, Refusal.NO_GIVE_BACK_ROLE),
        (may_give_back, request(), True, Refusal.UNREADABLE),
    ):
        assert rule(TARO_PERSON, request=asked, has_role=has_role, **usual) is expected


# --- the result of a withdrawal


@pytest.mark.parametrize(
    ("withdrawal", "asked", "state", "outcome"),
    [
        (REVOKE, granted(), UNKNOWN, None),
        (REVOKE, granted(status=Status.REVOKED), CONFIRMED, None),
        (REVOKE, granted(status=Status.GONE), RELEASED, Outcome.SETTLED),
        (REVOKE, None, UNKNOWN, None),
        (GIVE_BACK, granted(), UNKNOWN, None),
        (GIVE_BACK, granted(status=Status.REVOKED), CONFIRMED, None),
        (CANCEL, request(), UNKNOWN, None),
        (CANCEL, request(status=Status.CANCELLED), CONFIRMED, None),
        (CANCEL, request(status=Status.UNKNOWN), UNKNOWN, None),
        (CANCEL, request(status=Status.APPROVED), RELEASED, Outcome.SETTLED),
        (CANCEL, request(status=Status.REJECTED), RELEASED, Outcome.SETTLED),
        (CANCEL, None, UNKNOWN, None),
    ],
)
def test_unknown_revocation_or_cancellation_is_settled_by_the_status_in_aws(
    withdrawal: Withdrawal, asked: AccessRequest | None, state: DecisionState, outcome: Outcome | None
) -> None:
    """The withdrawal is confirmed if AWS shows it, and released if the request changed in another way.

    If AWS shows neither, it is released after a minute.
    """
    unknown = made(HANAKO, withdrawal, UNKNOWN)
    assert settled(unknown, asked) == (state, outcome)
    if state is UNKNOWN:
        assert settled(unknown, asked, seconds=61) == (RELEASED, Outcome.NO_ANSWER)


@pytest.mark.parametrize(("withdrawal", "status"), STATUS_AFTER.items())
@pytest.mark.parametrize("state", DecisionState)
def test_revoked_or_cancelled_request_names_the_person_whose_withdrawal_may_have_had_effect(
    withdrawal: Withdrawal, status: Status, state: DecisionState
) -> None:
    """The person of a sent, unknown or confirmed withdrawal is named. Any other withdrawal names no one."""
    row = Record(KEY, NOW, request=request(level(state=LevelState.APPROVED), status=status))
    row = row.with_decision(replace(made(HANAKO, withdrawal, state), settled_in=1))
    line, had_effect = deciding_line(row), state in {SENT, UNKNOWN, CONFIRMED}
    assert (line and (line.who, line.verdict)) == ((HANAKO.name, withdrawal) if had_effect else None)
    assert was_given_back(row) is (had_effect and withdrawal is GIVE_BACK)


@pytest.mark.parametrize(("withdrawal", "status"), [(REVOKE, Status.APPROVED), (CANCEL, Status.PENDING)])
def test_revocation_or_cancellation_is_not_listed_before_aws_shows_it(withdrawal: Withdrawal, status: Status) -> None:
    """A revocation or cancellation that AWS accepted is listed only once the status in AWS shows it."""
    row = Record(KEY, NOW, request=request(status=status)).with_decision(made(HANAKO, withdrawal, CONFIRMED))
    assert decision_lines(row) == ()


def test_revocation_is_listed_after_the_votes() -> None:
    """The order in which the decisions were stored does not matter."""
    row = Record(KEY, NOW, request=granted(status=Status.REVOKED))
    for action in (REVOKE, APPROVE):
        row = row.with_decision(made(HANAKO, action, CONFIRMED))
    assert [line.verdict for line in decision_lines(row)] == [APPROVE, REVOKE]
