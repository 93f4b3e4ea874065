"""Tests for bot.domain.other_levels: who approved another level of a request, and policies with too few people."""

from dataclasses import replace

import pytest

from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.identity import IdentityRules, Person
from bot.domain.other_levels import lacks_people, other_levels
from bot.domain.record import Record, Unrecognized
from bot.domain.request import Approver, ApproverKind, Level, LevelState, Verdict, Vote
from bot.domain.routing import Channel, LevelRule
from tests.fakes.aws import ACCOUNT, LEAD, ROLE
from tests.fakes.chat import HANAKO, ICHIRO, person
from tests.unit.domain.sample import APPROVALS, KEY, NOW, decision, level, request

CLAIMED, SENT, CONFIRMED, REFUSED, UNKNOWN, RELEASED = DecisionState
APPROVE, REJECT = Verdict
MEI = person(3)
RULES = IdentityRules(trusted_roles=frozenset({"Operator"}))
USER_ID = "9067642ac7-11111111-1111-4111-8111-111111111111"
HANAKO_UPN, ICHIRO_UPN = str(HANAKO.upn), str(ICHIRO.upn)


def session(name: str, role: str = "Operator") -> str:
    """Return the ARN of a session."""
    return f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{name}"


def passed(*voters: str, required: int | None = 1) -> Level:
    """Return the first level, which ended with approvals of these voters."""
    votes = tuple(Vote(by, APPROVE) for by in voters)
    return replace(level(required=required, state=LevelState.APPROVED), votes=votes)


def record(first: Level, *decisions: Decision, users: dict[str, str] | None = None) -> Record:
    """Return a row whose second level waits. `users` has the Teams users of voters."""
    known = tuple((users or {}).items())
    return Record(KEY, NOW, request=request(first, level("Level2")), decisions=decisions, voter_users=known)


def approved(row: Record, who: Person = HANAKO, *, rules: IdentityRules = RULES, step: str = "Level2") -> bool | None:
    """Return whether the person approved another level than `step`."""
    return other_levels(row, step, rules).approved_by(who)


@pytest.mark.parametrize(
    ("state", "counts"),
    [(CLAIMED, True), (SENT, True), (UNKNOWN, True), (CONFIRMED, True), (REFUSED, False), (RELEASED, False)],
)
def test_approval_in_teams_counts_unless_it_was_refused_or_released(state: DecisionState, counts: bool) -> None:
    """An approval that is not sent yet counts as well: both could be sent. Ichiro's approval ended the level."""
    ichiros = decision(ICHIRO, APPROVE, CONFIRMED)
    assert approved(record(passed(), ichiros, decision(HANAKO, APPROVE, state))) is counts


def test_approval_at_a_later_level_counts_at_an_earlier_one() -> None:
    """A vote at the first level may still be waiting to be sent while the second level is approved."""
    row = record(level(), decision(HANAKO, APPROVE, SENT, step="Level2"))
    assert approved(row, step="Level1") is True
    assert approved(row, ICHIRO, step="Level1") is False


@pytest.mark.parametrize("first", [decision(HANAKO, REJECT, CONFIRMED), decision(HANAKO, APPROVE, SENT, step="Level2")])
def test_rejection_elsewhere_and_approval_at_the_same_level_do_not_count(first: Decision) -> None:
    """Only approvals at other levels restrict."""
    assert approved(record(passed(), decision(ICHIRO, APPROVE, CONFIRMED), first)) is False


@pytest.mark.parametrize(
    "clicker",
    [
        replace(HANAKO, object_id=HANAKO.object_id.upper(), upn=None, mail=None, teams_id=None),
        replace(HANAKO, object_id="another", teams_id=None, mail=None),
        replace(HANAKO, object_id="another", teams_id=None, upn=None, mail="HANAKO.Sato@example.com"),
        replace(MEI, upn="hanako.sato_example.com#EXT#@example.net", mail=None, guest=True),
    ],
    ids=["object id", "UPN", "mail address", "home address of a guest"],
)
def test_person_is_recognized_by_every_spelling(clicker: Person) -> None:
    """A second account with one of the person's addresses is the same person."""
    assert approved(record(passed(), decision(HANAKO, APPROVE, CONFIRMED)), clicker) is True


@pytest.mark.parametrize(
    ("voter", "users", "hanako", "ichiro"),
    [
        (session(HANAKO_UPN), {}, True, None),
        (session(HANAKO_UPN.upper()), {}, True, None),
        (session(HANAKO_UPN, "AWSReservedSSO_Lead_0123456789abcdef"), {}, True, None),
        (session(HANAKO_UPN), {session(HANAKO_UPN): HANAKO.user}, True, False),
        (session(ICHIRO_UPN), {session(ICHIRO_UPN): ICHIRO.user}, False, True),
        (session(HANAKO_UPN), {session(HANAKO_UPN): ICHIRO.user}, None, True),
        (session(HANAKO_UPN, "Admin"), {}, None, None),
        (session(ICHIRO_UPN, "Admin"), {session(ICHIRO_UPN, "Admin"): ICHIRO.user}, None, None),
        (session(ICHIRO_UPN, "NodeAccessApprover"), {}, None, None),
        (USER_ID, {}, None, None),
        (USER_ID, {USER_ID: HANAKO.user}, True, False),
        (ROLE, {}, None, None),
    ],
)
def test_session_name_of_a_voter_in_the_console_proves_a_person_only_where_it_is_trusted(
    voter: str, users: dict[str, str], hanako: bool | None, ichiro: bool | None
) -> None:
    """A voter who is not known to be another person may be anybody. Stored users of untrusted sessions do not count."""
    row = record(passed(voter), users=users)
    assert (approved(row), approved(row, ICHIRO)) == (hanako, ichiro)


def test_entry_in_people_tells_who_voted() -> None:
    """[people] names Hanako by her object id."""
    rules = replace(RULES, people={session("batch"): f"user:{HANAKO.object_id}"})
    row = record(passed(session("batch")))
    assert (approved(row, rules=rules), approved(row, ICHIRO, rules=rules)) == (True, False)


@pytest.mark.parametrize("state", [CONFIRMED, UNKNOWN, RELEASED])
def test_vote_of_a_decision_in_the_row_is_that_of_its_person(state: DecisionState) -> None:
    """AWS shows the vote, whatever became of its answer. No name has to be trusted."""
    own = replace(decision(HANAKO, APPROVE, state), role=ROLE, execution_id="an-execution", outcome=Outcome.NO_ANSWER)
    row = record(passed(session(HANAKO_UPN, "NodeAccessApprover")), own)
    assert (approved(row), approved(row, ICHIRO)) == (True, False)


def test_vote_under_the_role_alone_is_that_of_the_accepted_decision() -> None:
    """AWS shows neither a session nor a comment."""
    own = replace(decision(HANAKO, APPROVE, CONFIRMED), role=ROLE, execution_id="an-execution", sent_comment="ok")
    row = record(passed(ROLE), own)
    assert (approved(row), approved(row, ICHIRO)) == (True, False)


@pytest.mark.parametrize("required", [1, 2, None])
@pytest.mark.parametrize("votes", [None, ()], ids=["unreadable", "none"])
def test_approval_that_neither_aws_nor_the_row_shows_may_be_anybodys(
    votes: tuple[Vote, ...] | None, required: int | None
) -> None:
    """Once the row has as many accepted approvals as the level needed, everybody who approved is known."""
    first = replace(passed(required=required), votes=votes)
    assert approved(record(first)) is None
    shown = [decision(each, APPROVE, CONFIRMED) for each in (ICHIRO, MEI)][: required or 1]
    known = required is not None or votes is not None
    assert approved(record(first, *shown)) is (False if known else None)
    assert approved(record(first, *shown), ICHIRO) is True
    assert approved(record(first, *(replace(each, state=UNKNOWN) for each in shown))) is None


def test_decision_that_only_a_newer_version_can_read_may_be_an_approval() -> None:
    """Its person is unknown."""
    row = record(passed(), decision(ICHIRO, APPROVE, CONFIRMED))
    assert approved(replace(row, unrecognized=Unrecognized("{}", frozenset({"decisions/x"})))) is None


def test_level_that_has_not_started_has_no_approvals() -> None:
    """At the first level nothing was approved before."""
    row = replace(record(level()), request=request(level(), level("Level2", state=LevelState.NOT_STARTED)))
    assert approved(row, step="Level1") is False


# --- policies


ONE, OTHER = f"user:{HANAKO.object_id}", f"user:{ICHIRO.object_id}"


def planned(step: str, required: int = 1, *, kind: ApproverKind = ApproverKind.ROLE) -> Level:
    """Return a level of a policy."""
    return Level(step, required=required, approvers=(Approver(kind, LEAD),))


def channel(first: tuple[str, ...], second: tuple[str, ...], **changed: object) -> Channel:
    """Return a channel with the approvers of two levels."""
    rule = LevelRule("Level2", second)
    made = replace(APPROVALS, approvers=first, levels=(rule,))
    return replace(made, **changed)  # type: ignore[arg-type]  # fields of Channel


@pytest.mark.parametrize(
    ("first", "second", "required", "lacks"),
    [
        ((ONE,), (ONE,), (1, 1), True),
        ((ONE,), (ONE.upper().replace("USER", "user"),), (1, 1), True),
        ((ONE,), (OTHER,), (1, 1), False),
        ((ONE, OTHER), (ONE,), (1, 1), False),
        ((ONE, OTHER), (ONE,), (2, 1), True),
        ((ONE, OTHER, "upn:mei@example.com"), (ONE, OTHER), (1, 2), False),
        ((ONE,), ("members",), (1, 1), False),
        (("members",), ("members",), (9, 9), False),
        ((ONE,), (), (1, 1), False),
        ((), (), (1, 1), False),
        ((ONE,), (OTHER,), (2, 1), False),
    ],
)
def test_policy_lacks_people_if_no_choice_gives_each_approval_to_another_person(
    first: tuple[str, ...], second: tuple[str, ...], required: tuple[int, int], lacks: bool
) -> None:
    """Levels that list `members` or no one are left out, and so is what a level lacks by itself."""
    levels = (planned("Level1", required[0]), planned("Level2", required[1]))
    assert lacks_people(channel(first, second), levels) is lacks


def test_setting_pause_and_console_approvers_end_the_lack_of_people() -> None:
    """The rule may be off for the channel or for the level, and a level may be decided in the console."""
    both = (planned("Level1"), planned("Level2"))
    here = channel((ONE,), (ONE,))
    assert lacks_people(here, both)
    assert not lacks_people(replace(here, one_level_per_person=False), both)
    assert not lacks_people(replace(here, levels=(LevelRule("Level2", (ONE,), one_level_per_person=False),)), both)
    assert not lacks_people(replace(here, decide=False), both)
    assert not lacks_people(here, (both[0], planned("Level2", kind=ApproverKind.USER)))
