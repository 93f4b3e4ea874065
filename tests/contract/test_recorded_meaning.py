"""Each recorded member reaches the field of the domain that it belongs to.

A round trip cannot show that two members of one type were exchanged. Here one value of every stored class is written by
hand, with the Python names of this version. The fields of one type have different values where the recording allows it.
"""

from datetime import UTC, datetime, timedelta

from bot.domain.audit import AuditEntry
from bot.domain.decision import Decision, DecisionState, Outcome
from bot.domain.identity import Person, Principal, PrincipalKind, Requester
from bot.domain.record import Lease, Record
from bot.domain.request import (
    AccessRequest,
    Approver,
    ApproverKind,
    Level,
    LevelState,
    Node,
    RequestKey,
    Status,
    Verdict,
    Vote,
    Withdrawal,
)
from bot.domain.routing import Route
from bot.domain.surface import DeliveryState, Surface, SurfaceKind
from bot.ports.store import PersonalChat
from bot.store.rows import AUDIT_ENTRY, PERSONAL_CHAT, RECORD, decode
from tests.contract.recording import ROWS, as_text

NOW = datetime(2026, 4, 1, 9, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SSO_ROLE = "AWSReservedSSO_Operator_0123456789abcdef"
TARO = f"arn:aws:sts::111122223333:assumed-role/{SSO_ROLE}/taro.yamada@example.com"
SESSIONS = "arn:aws:sts::111122223333:assumed-role/NodeAccessApprover"
ROLE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
TENANT = "11111111-1111-4111-8111-111111111111"
EXECUTION = "00000002-4685-449f-90cc-49d24139dbe9"
KEN = Person(
    object_id="aaaaaaaa-0000-4000-8000-900000000002",
    tenant_id=TENANT,
    name='Ken O\'Neil "KO"',
    upn="ken.oneil@example.com",
    mail="ken@example.com",
    teams_id="29:1-person-2",
    guest=False,
)
HANAKO = Person(
    object_id="aaaaaaaa-0000-4000-8000-900000000001",
    tenant_id=TENANT,
    name="佐藤 花子",
    upn="hanako.sato@example.com",
    mail="hanako.sato@example.com",
    teams_id="29:1-person-1",
)
GUEST = Person(
    object_id="aaaaaaaa-0000-4000-8000-900000000004",
    tenant_id=TENANT,
    name="Guest",
    upn="guest_example.org#EXT#@example.com",
    mail="guest@example.org",
    teams_id="29:1-person-4",
    guest=True,
)


def read(name: str) -> Record:
    """Return a recorded row."""
    found: Record = decode(RECORD, as_text(ROWS["requests"][name]), where=name)
    return found


def test_recorded_members_of_a_request_reach_their_fields() -> None:
    """The row has the facts from AWS, with the node, a level and its votes."""
    assert read("approved").request == AccessRequest(
        key=RequestKey(account="111122223333", region="ap-northeast-1", ops_item_id="oi-000000000002"),
        status=Status.APPROVED,
        requester=TARO,
        node=Node(
            id="i-02999bd501754105a",
            name="web-prod-01",
            platform="Linux/UNIX",
            private_ip="10.0.1.23",
            tags=(("Environment", "production"), ("Team", "決済")),
        ),
        reason="deploy",
        requested_at=NOW,
        modified_at=NOW + 4.5 * MINUTE,
        policy="Deploy",
        policy_version="1",
        duration=60 * MINUTE,
        access_from=NOW + 4 * MINUTE,
        access_until=NOW + 64 * MINUTE,
        execution_id=EXECUTION,
        levels=(
            Level(
                step="Approve",
                state=LevelState.APPROVED,
                required=1,
                approvers=(
                    Approver(kind=ApproverKind.ROLE, id=ROLE),
                    Approver(kind=ApproverKind.USER, id="94482488-3041-7026-aaaa-bbbbbbbbbbbb"),
                ),
                votes=(
                    Vote(
                        by=f"{SESSIONS}/hanako.sato@example.com",
                        verdict=Verdict.APPROVE,
                        at=NOW + 3 * MINUTE,
                        comment="確認しました 👍",
                    ),
                    Vote(by=f"{SESSIONS}/ken.oneil@example.com", verdict=Verdict.APPROVE),
                ),
                started_at=NOW,
                ended_at=NOW + 5 * MINUTE,
                timeout=timedelta(seconds=90),
            ),
        ),
        auto_approved=False,
        replica_of=None,
        conflicting_policies=(),
        complete=True,
    )


def test_recorded_rare_members_of_a_request_reach_their_fields() -> None:
    """The rows have a replica, an automatic approval, conflicting policies, unreadable facts, and a lost request."""
    replica, auto, failed = (read(name).request for name in ("replica", "auto-approved", "failed"))
    unreadable, gone = read("unreadable facts").request, read("gone")
    assert replica is not None
    assert replica.replica_of == RequestKey("111122223333", "ap-northeast-1", "oi-000000000001")
    assert auto is not None
    assert (auto.auto_approved, auto.complete) == (True, True)
    assert failed is not None
    assert failed.conflicting_policies == read("failed").conflicting_policies == ("Deploy", "Ops")
    assert unreadable is not None
    assert (unreadable.complete, unreadable.node.tags, unreadable.levels[0].approvers) == (False, None, None)
    assert (gone.missing_since, gone.observed_at) == (NOW + 15 * MINUTE, NOW + 30 * MINUTE)


def test_recorded_members_of_a_requester_reach_their_fields() -> None:
    """The row has the requester's principal, spellings, person, name and rules."""
    requester = read("rejected").requester
    session = f"arn:aws:sts::111122223333:assumed-role/{SSO_ROLE}/guest@example.org"
    assert requester == Requester(
        principal=Principal(text=session, kind=PrincipalKind.SESSION, role=SSO_ROLE, session="guest@example.org"),
        identified=True,
        spellings=frozenset({*GUEST.spellings, session.casefold()}),
        person=GUEST,
        name="Guest",
        rules="0123456789abcdef",
    )


def test_recorded_members_of_a_decision_reach_their_fields() -> None:
    """The rows have every field of a decision that has ended, and the fields of a live one."""
    assert read("approved").decisions[1] == Decision(
        id="e2",
        person=HANAKO,
        verdict=Verdict.REJECT,
        step="Approve",
        clicked_at=NOW + 2 * MINUTE,
        held_until=NOW + 3 * MINUTE,
        comment="later",
        conversation="19:prod@thread.tacv2;messageid=1775034000002",
        in_role=True,
        state=DecisionState.REFUSED,
        settled_at=NOW + 2 * MINUTE + timedelta(seconds=2.5),
        settled_in=3,
        outcome=Outcome.AWS_DENIED,
        role=ROLE,
        execution_id=EXECUTION,
        sent_comment="Rejected in Microsoft Teams",
        announced=False,
        detail="AccessDeniedException",
    )
    assert read("approved").decisions[2] == Decision(
        id="e3",
        person=KEN,
        verdict=Withdrawal.REVOKE,
        step="Approve",
        clicked_at=NOW + 10 * MINUTE,
        held_until=NOW + 11 * MINUTE,
        comment="no longer needed",
    )
    (back,) = read("access given back").decisions
    assert (back.verdict, back.given_back, back.action) == (Withdrawal.REVOKE, True, Withdrawal.GIVE_BACK)
    assert [(each.id, each.announced, each.in_role) for each in read("waiting").decisions] == [
        ("d1", True, True),
        ("d2", False, False),
        ("d3", False, True),
        ("d4", False, True),
        ("d5", True, False),
    ]


def test_recorded_members_of_a_surface_reach_their_fields() -> None:
    """The row has every field of a message in Teams."""
    assert read("approved").surfaces[1] == Surface(
        name="card:approvers",
        kind=SurfaceKind.CARD,
        delivery=DeliveryState.WAITING,
        conversation="19:approvers@thread.tacv2",
        activity_id="1775034000002",
        digest="d" * 64,
        attempts=5,
        reposts=1,
        unconfirmed_posts=2,
        problem="forbidden",
        failures=4,
        refusals=3,
        retry_at=NOW + 5 * MINUTE + timedelta(microseconds=500),
    )


def test_recorded_members_of_a_row_reach_their_fields() -> None:
    """The row has a version, times, a route and a lease."""
    assert read("waiting").lease == Lease(owner="replica-1", until=NOW + 9 * MINUTE + timedelta(seconds=45))
    approved = read("approved")
    assert approved == Record(
        key=RequestKey("111122223333", "ap-northeast-1", "oi-000000000002"),
        created_at=NOW,
        version=3,
        request=approved.request,
        requester=read("waiting").requester,
        observed_at=NOW + 5 * MINUTE,
        observed_from=2,
        reconcile_failures=4,
        route=Route(channel="prod: eu", conversation="19:prod@thread.tacv2", settled=True),
        decisions=approved.decisions,
        surfaces=approved.surfaces,
        requeue_at=NOW + 64 * MINUTE,
    )


def test_recorded_members_of_a_personal_chat_reach_their_fields() -> None:
    """The row has the person, the conversation and the service URL of a personal chat."""
    row = ROWS["people"][GUEST.object_id]
    assert decode(PERSONAL_CHAT, as_text(row), where="chat") == PersonalChat(
        person=GUEST, conversation="a:1-guest", service_url="https://smba.trafficmanager.net/jp/"
    )


def test_recorded_members_of_an_audit_entry_reach_their_fields() -> None:
    """The entry has every field of a step that was sent to AWS and got no answer."""
    row = next(each for each in ROWS["audit"] if each["event"] == "unanswered")
    assert decode(AUDIT_ENTRY, as_text(row), where="entry") == AuditEntry(
        at=NOW + 50 * MINUTE + timedelta(microseconds=3),
        event="unanswered",
        request="111122223333/ap-northeast-1/oi-000000000004",
        step="Level1",
        verb="revoke",
        person=KEN.object_id,
        person_name=KEN.name,
        tenant=TENANT,
        conversation="19:approvers@thread.tacv2;messageid=1775034000000",
        outcome="no_answer",
        detail="ReadTimeout",
        decision="d3",
        state="approved",
        execution="00000001-4685-449f-90cc-49d24139dbe9",
        role=ROLE,
        session="ken.oneil@example.com",
    )
