"""Tests for bot.domain.rules.permission: who may decide. The default is to deny."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.identity import Person, Principal, PrincipalKind, Requester, spellings_of
from bot.domain.request import AccessRequest, Approver, ApproverKind, Node, Status, Verdict
from bot.domain.routing import Channel, LevelRule
from bot.domain.rules.approvers import GroupMembers, Unread, listed_approvers
from bot.domain.rules.permission import (
    Membership,
    Refusal,
    can_be_decided,
    has_votable_approver,
    may_be_approver,
    may_decide,
    may_list_role,
)
from tests.fakes.chat import HANAKO, ICHIRO, TARO_PERSON
from tests.unit.domain.sample import APPROVALS, KEY, TARO_REQUESTER, TENANT_ID, level, request

APPROVE, REJECT = Verdict
MEMBER, STRANGER, UNREADABLE = Membership(member=True), Membership(member=False), Membership(member=None)


def refusal(
    clicker: Person = HANAKO,
    *,
    verdict: Verdict = APPROVE,
    comment: str = "",
    asked: AccessRequest | None = None,
    requester: Requester = TARO_REQUESTER,
    channel: Channel = APPROVALS,
    step: str = "Level1",
    membership: Membership = MEMBER,
    tenant_id: str = TENANT_ID,
    allow_unidentified: bool = False,
    approved_other_level: bool | None = False,
) -> Refusal | None:
    """Return the result of `may_decide`. Every argument has a default that allows the click."""
    return may_decide(
        clicker,
        action=verdict,
        comment=comment,
        request=asked or request(),
        requester=requester,
        channel=channel,
        step=step,
        membership=membership,
        tenant_id=tenant_id,
        allow_unidentified=allow_unidentified,
        approved_other_level=approved_other_level,
    )


def listing(*approvers: str) -> Channel:
    """Return the channel with these approvers."""
    return replace(APPROVALS, approvers=approvers)


@pytest.mark.parametrize("verdict", Verdict)
def test_member_of_the_channel_may_approve_and_reject(verdict: Verdict) -> None:
    """A member of the channel may approve and reject."""
    assert refusal(verdict=verdict) is None


@pytest.mark.parametrize("verdict", Verdict)
def test_request_whose_nodes_are_not_certain_cannot_be_decided(verdict: Verdict) -> None:
    """A request for several known nodes may be decided. If the nodes are not certain, it may not."""
    nodes = (Node("i-0123456789abcdef0"), Node("mi-0123456789abcdef0"))
    assert refusal(verdict=verdict, asked=request().of_nodes(nodes)) is None
    assert refusal(verdict=verdict, asked=request().of_nodes(())) is Refusal.NODES_UNREAD


@pytest.mark.parametrize(("approved", "expected"), [(True, Refusal.OTHER_LEVEL), (None, Refusal.OTHER_LEVEL_UNKNOWN)])
def test_person_who_has_or_may_have_approved_another_level_may_only_reject(
    approved: bool | None, expected: Refusal
) -> None:
    """The setting of the level comes before that of the channel."""
    rules = {on: (LevelRule("Level1", ("members",), one_level_per_person=on),) for on in (True, False)}
    assert refusal(approved_other_level=approved) is expected
    assert refusal(approved_other_level=approved, verdict=REJECT) is None
    off = replace(APPROVALS, one_level_per_person=False)
    assert refusal(approved_other_level=approved, channel=off) is None
    assert refusal(approved_other_level=approved, channel=replace(off, levels=rules[True])) is expected
    assert refusal(approved_other_level=approved, channel=replace(APPROVALS, levels=rules[False])) is None


def test_rule_on_levels_is_checked_before_the_state_of_the_request() -> None:
    """Right before a signal, a state that the row does not have is left to AWS, and this rule must still refuse."""
    unread = request(status=Status.UNKNOWN)
    assert refusal(approved_other_level=True, asked=unread) is Refusal.OTHER_LEVEL


@pytest.mark.parametrize("membership", [MEMBER, STRANGER, UNREADABLE])
def test_empty_list_of_approvers_allows_no_one(membership: Membership) -> None:
    """The person is refused even if they are a member of the channel."""
    assert refusal(channel=listing(), membership=membership) is Refusal.NOBODY


@pytest.mark.parametrize(
    "approver", ["", "member", "everyone", "*", "user:", "upn:", "user:*", "hanako.sato@example.com"]
)
def test_unknown_kind_of_approver_allows_no_one(approver: str) -> None:
    """No member is allowed, and neither is a person with an empty object id and UPN."""
    assert refusal(channel=listing(approver)) is Refusal.NOT_APPROVER
    assert refusal(replace(HANAKO, object_id="", upn=""), channel=listing(approver)) is Refusal.FOREIGN


@pytest.mark.parametrize(
    ("approvers", "membership", "expected"),
    [
        (["members"], MEMBER, None),
        (["members"], STRANGER, Refusal.NOT_APPROVER),
        (["members"], UNREADABLE, Refusal.ROSTER_UNAVAILABLE),
        (["MEMBERS"], MEMBER, None),
        ([f"user:{HANAKO.object_id}"], STRANGER, None),
        ([f"user:{HANAKO.object_id.upper()}"], STRANGER, None),
        ([f"user:{HANAKO.object_id.upper()}"], UNREADABLE, Refusal.ROSTER_UNAVAILABLE),
        ([f"user:{ICHIRO.object_id}"], MEMBER, Refusal.NOT_APPROVER),
        ([f"user:{ICHIRO.object_id}"], UNREADABLE, Refusal.NOT_APPROVER),
        (["upn:Hanako.Sato@Example.com"], STRANGER, None),
        (["upn:ichiro.tanaka@example.com"], MEMBER, Refusal.NOT_APPROVER),
        (["upn:ichiro.tanaka@example.com"], UNREADABLE, Refusal.ROSTER_UNAVAILABLE),
        ([f"user:{ICHIRO.object_id}", "members"], MEMBER, None),
    ],
)
def test_only_people_on_the_list_of_approvers_are_allowed(
    approvers: list[str], membership: Membership, expected: Refusal | None
) -> None:
    """The list may have `members`, object ids and UPNs. If the roster is needed but unread, the refusal says so."""
    assert refusal(channel=listing(*approvers), membership=membership) is expected


def test_entry_with_a_upn_for_an_object_id_or_the_reverse_allows_no_one() -> None:
    """The list has `user:` with a UPN, and `upn:` with an object id."""
    assert refusal(channel=listing(f"user:{HANAKO.upn}", f"upn:{HANAKO.object_id}")) is Refusal.NOT_APPROVER


@pytest.mark.parametrize(
    ("clicker", "tenant_id"),
    [
        (replace(HANAKO, guest=True), TENANT_ID),
        (replace(HANAKO, tenant_id="99999999-9999-4999-8999-999999999999"), TENANT_ID),
        (replace(HANAKO, tenant_id=""), TENANT_ID),
        (replace(HANAKO, tenant_id=""), ""),
        (HANAKO, ""),
    ],
)
@pytest.mark.parametrize("approvers", [["members"], [f"upn:{HANAKO.upn}"]])
def test_guests_and_people_of_other_tenants_are_refused(clicker: Person, tenant_id: str, approvers: list[str]) -> None:
    """Membership or a listed UPN does not allow them. A missing tenant id equals no other, not even a missing one."""
    assert refusal(clicker, channel=listing(*approvers), tenant_id=tenant_id) is Refusal.FOREIGN


def test_tenant_ids_are_compared_without_regard_to_case() -> None:
    """Tenant ids that differ only in upper and lower case are equal."""
    tenant = "AAAAAAAA-1111-4111-8111-111111111111"
    assert refusal(replace(HANAKO, tenant_id=tenant), tenant_id=tenant.lower()) is None


@pytest.mark.parametrize("clicker", [replace(HANAKO, guest=True), replace(HANAKO, tenant_id="other")])
def test_guest_may_be_listed_by_object_id(clicker: Person) -> None:
    """An object id names one person, whatever their tenant."""
    assert refusal(clicker, channel=listing(f"user:{HANAKO.object_id}")) is None


def test_approvers_of_a_level_replace_those_of_the_channel() -> None:
    """An empty list of a level allows no one."""
    rules = (LevelRule("Level2", (f"user:{ICHIRO.object_id}",)), LevelRule("Level3", ()))
    channel = replace(APPROVALS, levels=rules)
    second, third = (request(level(step)) for step in ("Level2", "Level3"))
    assert refusal(channel=channel, step="Level1") is None
    assert refusal(channel=channel, step="Level2", asked=second) is Refusal.NOT_APPROVER
    assert refusal(ICHIRO, channel=channel, step="Level2", asked=second, membership=STRANGER) is None
    assert refusal(channel=channel, step="Level3", asked=third) is Refusal.NOBODY


@pytest.mark.parametrize("verdict", Verdict)
@pytest.mark.parametrize("step", ["", "Level2", "level1", "Level1 ", "Approvers"])
def test_vote_is_refused_at_a_step_that_does_not_wait(verdict: Verdict, step: str) -> None:
    """Another step could have other approvers."""
    assert refusal(verdict=verdict, step=step) is Refusal.OTHER_STEP


@pytest.mark.parametrize(
    "known",
    [
        spellings_of(TARO_PERSON.object_id),
        spellings_of(TARO_PERSON.upn),
        spellings_of((TARO_PERSON.mail or "").upper()),
        spellings_of(TARO_PERSON.teams_id),
    ],
)
@pytest.mark.parametrize("allow_unidentified", [True, False])
def test_requester_cannot_decide_on_their_own_request(known: frozenset[str], allow_unidentified: bool) -> None:
    """A clicker who shares one id or address with the requester is refused, even if listed as an approver."""
    requester = replace(TARO_REQUESTER, spellings=known, person=None)
    channel = listing("members", f"user:{TARO_PERSON.object_id}")
    assert refusal(TARO_PERSON, requester=requester, channel=channel, allow_unidentified=allow_unidentified) is (
        Refusal.OWN_REQUEST
    )


def test_approver_with_the_session_name_of_an_unidentified_requester_is_refused() -> None:
    """A name that the caller chose identifies no one, but the person with that name is still refused."""
    requester = Requester(
        Principal("x", PrincipalKind.OTHER), identified=False, spellings=spellings_of("hanako.sato@example.com")
    )
    assert refusal(requester=requester, allow_unidentified=True) is Refusal.OWN_REQUEST


UNIDENTIFIED = Requester(Principal("x", PrincipalKind.OTHER), identified=False, spellings=frozenset({"x"}))


def test_request_of_an_unidentified_requester_cannot_be_decided() -> None:
    """No one decides on the request of an unidentified requester, unless the setting allows it."""
    assert refusal(requester=UNIDENTIFIED) is Refusal.UNIDENTIFIED
    assert refusal(requester=UNIDENTIFIED, allow_unidentified=True) is None


def test_person_without_addresses_is_not_comparable_with_an_unidentified_requester() -> None:
    """The name that the caller chose could be this person's address. The bot cannot compare, so it refuses."""
    chosen = replace(UNIDENTIFIED, spellings=spellings_of(HANAKO.upn))
    nameless, channel = replace(HANAKO, upn=None, mail=None), listing(f"user:{HANAKO.object_id}")
    assert refusal(nameless, requester=chosen, channel=channel, allow_unidentified=True) is Refusal.NOT_COMPARABLE
    assert refusal(requester=chosen, channel=channel, allow_unidentified=True) is Refusal.OWN_REQUEST


BY_ID = replace(TARO_REQUESTER, person=None, spellings=spellings_of(TARO_PERSON.object_id, "arn:aws:iam::1:user/batch"))


def test_requester_known_by_object_id_is_compared_by_object_id() -> None:
    """A person without addresses may decide. The person with the requester's object id may not."""
    nameless = replace(HANAKO, upn=None, mail=None)
    assert refusal(nameless, requester=BY_ID) is None
    assert refusal(TARO_PERSON, requester=BY_ID) is Refusal.OWN_REQUEST


def test_identity_center_user_id_is_not_an_object_id() -> None:
    """The two ids look alike, but an object id cannot be compared with an Identity Center user id."""
    principal = Principal("bbbbbbbb-0000-4000-8000-000000000001", PrincipalKind.IDENTITY_CENTER_USER)
    known = spellings_of(principal.text, "t.yamada@corp.example.net")
    assert refusal(requester=replace(BY_ID, principal=principal, spellings=known)) is Refusal.NOT_COMPARABLE


BY_DOMAIN = replace(TARO_REQUESTER, person=None, spellings=spellings_of("taro.yamada@example.com"))


@pytest.mark.parametrize("requester", [TARO_REQUESTER, BY_DOMAIN], ids=["matched", "by domain"])
def test_clicker_without_addresses_is_refused_as_not_comparable(requester: Requester) -> None:
    """A person without an address could be the requester, whatever the object ids are."""
    nameless = replace(HANAKO, upn=None, mail=None)
    assert refusal(nameless, requester=requester) is Refusal.NOT_COMPARABLE
    assert refusal(replace(nameless, upn="h@example.com"), requester=requester) is None


@pytest.mark.parametrize(
    ("requester", "expected"),
    [(TARO_REQUESTER, None), (BY_DOMAIN, Refusal.NOT_COMPARABLE)],
    ids=["matched", "by domain"],
)
def test_clicker_without_a_upn_is_comparable_only_with_a_matched_requester(
    requester: Requester, expected: Refusal | None
) -> None:
    """Teams left out the clicker's UPN, which could be the only known address of the requester."""
    assert refusal(replace(HANAKO, upn=None, mail="h@example.com"), requester=requester) is expected


def test_member_of_an_unknown_tenant_is_refused_with_the_reason_tenant_unknown() -> None:
    """The reason is TENANT_UNKNOWN instead of FOREIGN. A member who is listed by object id may decide."""
    unknown, member = replace(HANAKO, guest=True), Membership(member=True, tenant_known=False)
    assert refusal(unknown, membership=member) is Refusal.TENANT_UNKNOWN
    assert refusal(unknown, membership=MEMBER) is Refusal.FOREIGN
    assert refusal(unknown, membership=member, channel=listing(f"user:{HANAKO.object_id}")) is None


def test_click_has_the_refusal_roster_refused_if_teams_refuses_the_roster() -> None:
    """The refusal differs from that of an unavailable roster, because another click in a minute does not help."""
    assert refusal(membership=Membership(member=None, refused=True)) is Refusal.ROSTER_REFUSED


def test_member_without_a_upn_is_refused_because_a_listed_upn_may_be_theirs() -> None:
    """Teams did not return the person's UPN, so it is unknown whether the person is an approver.

    A stranger is refused as no approver.
    """
    nameless, by_name = replace(HANAKO, upn=None), listing(f"upn:{ICHIRO.upn}")
    assert refusal(nameless, channel=by_name) is Refusal.ADDRESS_UNKNOWN
    assert refusal(nameless, channel=by_name, membership=STRANGER) is Refusal.NOT_APPROVER
    assert refusal(channel=by_name) is Refusal.NOT_APPROVER


@pytest.mark.parametrize(
    ("upn", "mail"),
    [
        ("t.yamada@corp.example.net", None),
        (None, "taro@x.example.net"),
        ("t.yamada@corp.example.net", "taro@corp.example.net"),
    ],
)
def test_address_in_another_domain_does_not_prove_another_person(upn: str | None, mail: str | None) -> None:
    """A requester who is known only by an address may have other addresses.

    Only a different address in the same domain proves that the clicker is another person.
    """
    assert refusal(replace(HANAKO, upn=upn, mail=mail), requester=BY_DOMAIN) is Refusal.NOT_COMPARABLE


def test_home_address_of_a_guest_is_compared_with_the_requester() -> None:
    """The UPN `taro.yamada_example.com#EXT#@…` counts as taro.yamada@example.com."""
    guest = replace(HANAKO, upn="taro.yamada_example.com#EXT#@tenant.onmicrosoft.com", mail="other@example.com")
    assert refusal(guest, requester=BY_DOMAIN) is Refusal.OWN_REQUEST


@pytest.mark.parametrize("blank", ["\u200b", "\ufeff", "\u2800", "\u3164", "\u2063 \n"])
def test_invisible_comment_counts_as_missing(blank: str) -> None:
    """If a comment is required, a click with an invisible comment is refused."""
    channel = replace(APPROVALS, comment_required=frozenset({REJECT}))
    assert refusal(verdict=REJECT, comment=blank, channel=channel) is Refusal.COMMENT_REQUIRED
    assert refusal(verdict=REJECT, comment=f"{blank}理由", channel=channel) is None


@pytest.mark.parametrize(
    ("kinds", "votable"),
    [
        (None, True),
        ([], False),
        ([ApproverKind.ROLE], True),
        ([ApproverKind.USER], False),
        ([ApproverKind.GROUP, ApproverKind.OTHER], False),
        ([ApproverKind.USER, ApproverKind.ROLE], True),
    ],
)
def test_level_without_a_role_among_its_approvers_is_console_only(
    kinds: list[ApproverKind] | None, votable: bool
) -> None:
    """The bot can vote only in an IAM role. If the approvers cannot be read, the check is left to AWS."""
    approvers = None if kinds is None else tuple(Approver(kind, "x") for kind in kinds)
    asked = request(replace(level(), approvers=approvers))
    assert has_votable_approver(asked.levels[0]) is votable
    assert refusal(asked=asked) is (None if votable else Refusal.CONSOLE_ONLY)


def test_vote_is_refused_if_the_request_has_no_waiting_level_or_no_execution() -> None:
    """A click is refused if no level is known, there is no execution, or the status is not pending."""
    for asked in (
        replace(request(), levels=()),
        request(execution_id=None),
        request(status=Status.UNKNOWN),
        request(status=Status.APPROVED),
    ):
        assert refusal(asked=asked) is Refusal.UNREADABLE


@pytest.mark.parametrize(
    ("verdict", "comment", "expected"),
    [
        (REJECT, "", Refusal.COMMENT_REQUIRED),
        (REJECT, " \n\t", Refusal.COMMENT_REQUIRED),
        (REJECT, "why", None),
        (APPROVE, "", None),
    ],
)
def test_comment_is_required_only_for_the_verdicts_that_the_channel_names(
    verdict: Verdict, comment: str, expected: Refusal | None
) -> None:
    """The channel requires a comment to reject, not to approve. A comment of white space counts as missing."""
    channel = replace(APPROVALS, comment_required=frozenset({REJECT}))
    assert refusal(verdict=verdict, comment=comment, channel=channel) is expected


def test_replica_of_a_request_cannot_be_decided() -> None:
    """A click on a copy in the delegated administrator account is refused."""
    assert refusal(asked=request(replica_of=KEY)) is Refusal.REPLICA


def test_missing_permission_is_reported_before_a_missing_comment() -> None:
    """People who may not decide are not asked for a comment."""
    channel = replace(listing("members"), comment_required=frozenset(Verdict))
    assert refusal(membership=STRANGER, channel=channel) is Refusal.NOT_APPROVER
    assert refusal(TARO_PERSON, channel=channel) is Refusal.OWN_REQUEST


ROLE_HERE = "arn:aws:iam::111122223333:role/NodeAccessApprover"
OTHER_ROLE = "arn:aws:iam::111122223333:role/SomebodyElse"


@pytest.mark.parametrize(
    ("listed", "ours", "allowed"),
    [
        ([ROLE_HERE], ROLE_HERE, True),
        (["arn:aws:iam::111122223333:role/team/NodeAccessApprover"], ROLE_HERE, True),  # a path
        (["arn:aws:sts::111122223333:assumed-role/NodeAccessApprover/somebody"], ROLE_HERE, True),
        (["arn:aws:iam::111122223333:role/nodeaccessapprover"], ROLE_HERE, True),
        ([OTHER_ROLE, ROLE_HERE], ROLE_HERE, True),
        ([OTHER_ROLE, "AROASOMETHING"], ROLE_HERE, True),  # not an ARN, so it could mean the bot's role
        ([OTHER_ROLE], None, True),  # the bot's own credentials: AWS decides
        (None, ROLE_HERE, True),
        ([OTHER_ROLE], ROLE_HERE, False),
        (["arn:aws:iam::444455556666:role/NodeAccessApprover"], ROLE_HERE, False),  # of another account
    ],
)
def test_vote_at_a_step_that_does_not_list_the_role_of_the_bot_is_refused(
    listed: list[str] | None, ours: str | None, allowed: bool
) -> None:
    """AWS would refuse such a vote. If the step may list the bot's role, AWS decides."""
    roles = None if listed is None else tuple(Approver(ApproverKind.ROLE, each) for each in listed)
    asked = request(replace(level(), approvers=roles))
    channel = replace(APPROVALS, approver_role=ours)
    assert may_list_role(asked.levels[0], ours) is allowed
    refused = refusal(asked=asked, channel=channel)
    assert refused is (None if allowed else Refusal.OTHER_ROLE)


# --- who may be an approver


LISTED_ID, LISTED_UPN = [f"user:{HANAKO.object_id}"], [f"upn:{HANAKO.upn}"]


@pytest.mark.parametrize(
    ("approvers", "member", "possible"),
    [
        (["members"], HANAKO, True),
        (LISTED_ID, HANAKO, True),
        (LISTED_ID, ICHIRO, False),
        (LISTED_UPN, HANAKO, True),
        (LISTED_UPN, ICHIRO, False),
        (LISTED_UPN, replace(ICHIRO, upn=None), True),
        (LISTED_ID, replace(ICHIRO, upn=None), False),
        (LISTED_ID, replace(ICHIRO, tenant_id=""), True),
        (LISTED_ID, replace(HANAKO, guest=True), True),
        (["members"], replace(HANAKO, guest=True), False),
        (["members"], TARO_PERSON, False),
        (LISTED_UPN, replace(TARO_PERSON, upn=None), False),
        ([], HANAKO, False),
    ],
)
def test_member_counts_as_a_possible_approver_unless_their_data_exclude_this(
    approvers: list[str], member: Person, possible: bool
) -> None:
    """A tenant or UPN that Teams does not return makes it uncertain. The requester is no approver."""
    listed = listed_approvers(approvers, {})
    assert may_be_approver(member, listed, requester=TARO_REQUESTER, tenant_id=TENANT_ID) is possible


@pytest.mark.parametrize(
    "missing", [{"execution_id": None}, {"levels": ()}, {"node": Node("")}, {"status": Status.UNKNOWN}]
)
def test_request_can_be_decided_only_with_execution_waiting_level_and_nodes(missing: dict[str, Any]) -> None:
    """The execution gets the signal, and the nodes are those for which access is requested."""
    asked = request()
    assert can_be_decided(asked)
    assert not can_be_decided(replace(asked, **missing))


# --- groups of Microsoft Entra

ON_CALL, LEADS = "cccccccc-0000-4000-8000-000000000001", "cccccccc-0000-4000-8000-000000000002"
GROUP = listing(f"group:{ON_CALL.upper()}")
IN, OUT = frozenset({HANAKO.user, ICHIRO.user}), frozenset({ICHIRO.user})


def known(members: frozenset[str] | Unread | None, *, member: bool | None = True) -> Membership:
    """Return the membership of a person, with what is known of the group ON_CALL; None if it was not read."""
    return Membership(member=member, groups={} if members is None else {ON_CALL: members})


@pytest.mark.parametrize(
    ("membership", "why"),
    [
        (known(IN), None),
        (known(OUT), Refusal.NOT_IN_GROUP),
        (known(Unread.FOR_NOW), Refusal.GROUP_UNAVAILABLE),
        (known(Unread.REFUSED), Refusal.GROUP_REFUSED),
        (known(None), Refusal.GROUP_UNAVAILABLE),
        (known(IN, member=False), Refusal.NOT_APPROVER),
        (known(Unread.REFUSED, member=False), Refusal.NOT_APPROVER),
        (known(IN, member=None), Refusal.ROSTER_UNAVAILABLE),
    ],
)
@pytest.mark.parametrize("verdict", Verdict)
def test_group_allows_those_of_its_members_who_are_in_the_channel(
    membership: Membership, why: Refusal | None, verdict: Verdict
) -> None:
    """Nobody else, and nobody while group or roster is unread. Ids are compared without regard to case."""
    assert refusal(channel=GROUP, membership=membership, verdict=verdict) is why


@pytest.mark.parametrize("clicker", [replace(HANAKO, guest=True), replace(HANAKO, tenant_id="another")])
def test_guest_and_person_of_another_tenant_may_not_decide_by_a_group(clicker: Person) -> None:
    """A group can hold guests."""
    assert refusal(clicker, channel=GROUP, membership=known(IN)) is Refusal.FOREIGN


def test_requester_in_the_group_may_not_decide_their_own_request() -> None:
    """The group only says who is an approver."""
    group = frozenset({TARO_PERSON.user})
    assert refusal(TARO_PERSON, channel=GROUP, membership=known(group)) is Refusal.OWN_REQUEST


@pytest.mark.parametrize("members", [OUT, Unread.FOR_NOW, Unread.REFUSED, None])
def test_people_beside_a_group_may_decide_whatever_is_known_of_the_group(
    members: frozenset[str] | Unread | None,
) -> None:
    """They need no group."""
    for entry in (f"user:{HANAKO.object_id}", f"upn:{HANAKO.upn}"):
        assert refusal(channel=listing(f"group:{ON_CALL}", entry), membership=known(members)) is None


def test_member_of_one_of_two_groups_may_decide_while_the_other_is_unread() -> None:
    """For all others, it is unknown. A group that may soon be read counts more than one that may not."""
    both = listing(f"group:{ON_CALL}", f"group:{LEADS}")
    groups: GroupMembers = {ON_CALL: OUT, LEADS: Unread.REFUSED}
    assert refusal(ICHIRO, channel=both, membership=Membership(member=True, groups=groups)) is None
    assert refusal(channel=both, membership=Membership(member=True, groups=groups)) is Refusal.GROUP_REFUSED
    assert refusal(channel=both, membership=known(Unread.REFUSED)) is Refusal.GROUP_UNAVAILABLE


def test_group_of_another_level_allows_no_one_at_this_one() -> None:
    """A level has its own approvers."""
    channel = replace(APPROVALS, approvers=(f"group:{ON_CALL}",), levels=(LevelRule("Level1", (f"group:{LEADS}",)),))
    groups: GroupMembers = {ON_CALL: IN, LEADS: OUT}
    assert refusal(channel=channel, membership=Membership(member=True, groups=groups)) is Refusal.NOT_IN_GROUP


@pytest.mark.parametrize(
    ("members", "member", "possible"),
    [
        (IN, HANAKO, True),
        (OUT, HANAKO, False),
        (OUT, replace(HANAKO, tenant_id=""), True),
        (Unread.FOR_NOW, HANAKO, True),
        (Unread.REFUSED, HANAKO, True),
        (Unread.FOR_NOW, TARO_PERSON, False),
        (Unread.FOR_NOW, replace(HANAKO, guest=True), False),
        (IN, replace(HANAKO, guest=True), False),
    ],
)
def test_member_may_be_an_approver_by_a_group_unless_it_is_known_that_they_are_not_in_it(
    members: frozenset[str] | Unread, member: Person, possible: bool
) -> None:
    """A card hides its buttons from a person only if that is certain."""
    listed = listed_approvers(GROUP.approvers, {ON_CALL: members})
    assert may_be_approver(member, listed, requester=TARO_REQUESTER, tenant_id=TENANT_ID) is possible
