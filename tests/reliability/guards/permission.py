"""Guards of the rules on who may decide, revoke and cancel, and of who the requester is."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from bot.domain.configuration import Configuration
from bot.domain.identity import Person, Requester
from bot.domain.record import Record
from bot.domain.request import AccessRequest
from bot.domain.routing import Channel
from bot.domain.rules.approvers import Listed
from bot.domain.rules.permission import Membership, Refusal
from bot.domain.shown.turns import escalates_at
from bot.text.names import caseless, fold
from tests.reliability.replacing import Guard, Replacement, always, around, constant

OTHER_LEVELS = "bot.domain.other_levels:"
MAY_DECIDE = "bot.domain.rules.permission:may_decide"
APPROVER = "bot.domain.rules.permission:_refused_as_approver"
OBJECTION = "bot.service.decisions.permission_check:PermissionCheck.objection"
COMPARABLE = "bot.domain.identity:Requester.comparable_with"

BEFORE_SIGNAL = "tests/scenario/test_permission_before_the_signal.py::"
DECIDING = "tests/scenario/test_deciding.py::"
RELOADING = "tests/scenario/test_reloading.py::"
WITHDRAWING = "tests/scenario/test_withdrawing.py::"
RECONCILING = "tests/scenario/test_reconciling.py::"
IDENTITY_CENTER = "tests/scenario/test_identity_center.py::"
DIRECTORY = "tests/contract/test_directory.py::"
UNREAD = "tests/scenario/test_unread_rosters.py::"
RECORDS = "tests/aws/test_identity_center.py::"
COMMANDS = "tests/scenario/test_commands.py::"
HISTORY = "tests/scenario/test_history.py::"
MATRIX = "tests/security/test_authorisation.py::test_click_without_permission_sends_no_signal_to_aws"
DEFAULT_DENY = "tests/security/test_default_deny.py::"
SPELLINGS = "tests/security/test_requester_spellings.py::test_requester_cannot_decide_their_own_request_under_any_of_their_accounts"
NO_APPROVER = "tests/scenario/test_no_approver.py::"
ONE_LEVEL = "tests/scenario/test_one_level.py::"
ALIASES = "tests/scenario/test_aliases.py::"
LOOK_ALIKES = "tests/security/test_look_alikes.py::"
GROUPS = "tests/scenario/test_groups.py::"
ESCALATION = "tests/scenario/test_escalation.py::"


def never(refusal: Refusal) -> Replacement:
    """Return a replacement that allows every click that the rule refuses for this reason."""

    def allowed(rule: Any, *facts: object, **named: object) -> Refusal | None:
        found: Refusal | None = rule(*facts, **named)
        return None if found is refusal else found

    return around(allowed)


def _of_any_setting(target: Any, record: Record, configuration: Configuration) -> Any:
    found = [configuration.channel(each.channel) for each in record.escalations]
    return target(record, configuration) or (found[-1] if found else None)


def _at_any_step(_: Any, record: Record, target: Channel, _step: str) -> bool:
    return any(each.channel == target.name for each in record.escalations)


def _without_pause(rules_in: Any, *facts: Any) -> Any:
    found = rules_in(*facts)
    return found and replace(found, decide=True)


def _by_own_rules(second_channel: Any, record: Record, configuration: Configuration, step: str) -> Any:
    found = second_channel(record, configuration, step)
    return found and configuration.channel(found.name)


def _always_home(_: Any, record: Record, configuration: Configuration, *_made: Any) -> Any:
    return configuration.home(record)


def _by_time_alone(_: Any, record: Record, configuration: Configuration, now: datetime) -> bool:
    at = escalates_at(record, configuration, now)
    return at is not None and at <= now


def _while_paused(may_decide: Any, person: Person, *, channel: Channel, **facts: object) -> Any:
    return may_decide(person, channel=replace(channel, decide=True), **facts)


def _replicas_too(may_decide: Any, person: Person, *, request: AccessRequest, **facts: object) -> Any:
    return may_decide(person, request=replace(request, replica_of=None), **facts)


def _known_without_roster(may_decide: Any, person: Person, *, membership: Membership, **facts: object) -> Any:
    return may_decide(person, membership=Membership(member=membership.member is not False), **facts)


def _ids_without_roster(
    may_decide: Any, person: Person, *, membership: Membership, channel: Channel, step: str, **facts: object
) -> Any:
    if f"user:{person.object_id}" in channel.approvers_at(step):
        membership = Membership(member=True)
    return may_decide(person, membership=membership, channel=channel, step=step, **facts)


def _of_our_tenant(as_person: Any, member: Any, *, tenant_id: str) -> Person | None:
    found: Person | None = as_person(member, tenant_id=tenant_id)
    return replace(found, tenant_id=tenant_id, guest=False) if found and not found.tenant_id else found


def _comparable_by_mail(comparable: Any, requester: Requester, person: Person) -> Any:
    return comparable(requester, replace(person, upn=person.upn or person.mail))


def _unidentified_too(may_decide: Any, person: Person, **facts: Any) -> Any:
    return may_decide(person, **{**facts, "allow_unidentified": True})


def _at_several_levels(may_decide: Any, person: Person, **facts: Any) -> Any:
    return may_decide(person, **{**facts, "approved_other_level": False})


def _without_tenant(may_decide: Any, person: Person, *, tenant_id: str, **facts: object) -> Any:
    tenant = tenant_id or person.tenant_id or "any"
    return may_decide(replace(person, tenant_id=person.tenant_id or tenant), tenant_id=tenant, **facts)


def _of_any_tenant(may_decide: Any, person: Person, *, tenant_id: str, **facts: object) -> Any:
    return may_decide(replace(person, tenant_id=tenant_id, guest=False), tenant_id=tenant_id, **facts)


def _only_by_ids(comparable: Any, requester: Requester, person: Person) -> Any:
    ids = frozenset(each for each in requester.spellings if "@" not in each)
    return comparable(replace(requester, spellings=ids or requester.spellings), person)


async def _as_complete(identify: Any, identifying: object, request: AccessRequest, *, earlier: Requester | None) -> Any:
    return replace(await identify(identifying, request, earlier=earlier), request=request)


async def _always_whole(whole: Any, reader: object, root: str) -> Any:
    return replace(await whole(reader, root), whole=True)


async def _first_instance(instances: Any, center: object) -> Any:
    return (await instances(center))[:1]


def _cut_name(_: Any, value: object, longest: int) -> str | None:
    return value.strip()[:longest] or None if isinstance(value, str) else None


def _whole_group(refused: Any, person: Person, listed: Listed, membership: Membership, tenant_id: str) -> Any:
    found = refused(person, listed, membership, tenant_id)
    outside = membership.member is False and listed.in_group(person)
    return None if found is Refusal.NOT_APPROVER and outside else found


def _any_member(refused: Any, person: Person, listed: Listed, membership: Membership, tenant_id: str) -> Any:
    found = refused(person, listed, membership, tenant_id)
    return None if found in {Refusal.GROUP_UNAVAILABLE, Refusal.GROUP_REFUSED} else found


def _guests_of_group(refused: Any, person: Person, listed: Listed, membership: Membership, tenant_id: str) -> Any:
    known = replace(person, guest=person.guest and not listed.in_group(person))
    return refused(known, listed, membership, tenant_id)


GUARDS = (
    Guard(
        "a group allows members of the channel only",
        GROUPS + "test_others_may_neither_decide_nor_be_named_as_reviewers[approve-not in the channel]",
        {APPROVER: around(_whole_group)},
    ),
    Guard(
        "a group allows no guest",
        GROUPS + "test_others_may_neither_decide_nor_be_named_as_reviewers[reject-a guest]",
        {APPROVER: around(_guests_of_group)},
    ),
    Guard(
        "a channel with a group allows no one outside the group",
        GROUPS + "test_others_may_neither_decide_nor_be_named_as_reviewers[approve-not in the group]",
        {APPROVER: never(Refusal.NOT_IN_GROUP)},
    ),
    Guard(
        "a group that is not read allows no one",
        GROUPS + "test_no_one_in_the_channel_may_decide_by_a_group_that_is_not_read[approve-graph_consent_missing]",
        {APPROVER: around(_any_member)},
    ),
    Guard(
        "a group is checked again before the signal",
        GROUPS + "test_group_is_checked_again_right_before_the_signal[removed from the group]",
        {OBJECTION: always(None)},
    ),
    Guard(
        "a group without people is not read",
        "tests/unit/teams/test_group_members.py::test_group_without_people_is_a_problem_and_not_an_answer[none]",
        {"bot.teams.groups.graph:_without_nobody": around(lambda _, people: people)},
    ),
    Guard(
        "members of a group are trusted for a minute",
        "tests/unit/teams/test_group_members.py::test_group_is_read_once_a_minute_and_once_for_many_callers",
        {"bot.teams.groups.group_members:TRUSTED_FOR": constant(3600.0)},
    ),
    Guard(
        "the token for Graph goes to the configured origin only",
        "tests/unit/teams/test_group_members.py::"
        "test_token_is_not_sent_to_another_origin_that_a_page_names[http://localhost:{port}]",
        {"bot.teams.groups.graph:_same_origin": always(True)},
    ),
    Guard(
        "only people in a group count",
        "tests/unit/teams/test_group_members.py::test_entry_that_is_not_certainly_a_person_is_left_out[entry4]",
        {"bot.teams.wire.group_page:USER": constant("#microsoft.graph.device")},
    ),
    Guard(
        "the second channel decides only while the file says so",
        ESCALATION + "test_right_ends_with_the_setting[removed]",
        {"bot.domain.escalation:_target": around(_of_any_setting)},
    ),
    Guard(
        "the second channel decides only an escalated level",
        ESCALATION + "test_each_level_has_its_own_escalation",
        {"bot.domain.escalation:_is_escalated": around(_at_any_step)},
    ),
    Guard(
        "a pause of either channel pauses an escalated level",
        ESCALATION + "test_pause_of_either_channel_pauses_both_after_the_escalation[second]",
        {"bot.domain.escalation:rules_in": around(_without_pause)},
    ),
    Guard(
        "the stricter rules of both channels apply to an escalated level",
        ESCALATION + "test_comment_that_either_channel_requires_is_required_in_the_second[first]",
        {"bot.domain.escalation:second_channel": around(_by_own_rules)},
    ),
    Guard(
        "a step with a rule in the first channel alone is not decided in the second",
        ESCALATION + "test_step_with_a_rule_in_the_first_channel_alone_is_not_decided_in_the_second[False]",
        {"bot.domain.escalation:second_channel": around(_by_own_rules)},
    ),
    Guard(
        "a decision is checked against the channel where it was made",
        ESCALATION + "test_access_that_the_second_channel_approved_can_be_revoked_there",
        {"bot.domain.shown.card_places:deciding_channel": around(_always_home)},
    ),
    Guard(
        "no level is escalated that no one can decide",
        ESCALATION + "test_no_escalation_begins_during_a_pause_of_either_channel[first]",
        {"bot.domain.shown.turns:may_escalate": around(_by_time_alone)},
    ),
    Guard(
        "a level is escalated although Teams refuses the message that calls its people",
        ESCALATION + "test_level_is_escalated_although_teams_refuses_the_first_channel[Level1]",
        {"bot.domain.shown.turns:_is_call_refused": always(False)},
    ),
    Guard(
        "the requester alone is no approver",
        NO_APPROVER
        + "test_card_says_that_the_requester_is_the_only_approver_and_the_requester_is_notified[approvers0-en]",
        {"bot.domain.rules.permission:lists_only_the_requester": always(False)},
    ),
    Guard(
        "members that Teams does not show completely may be approvers",
        NO_APPROVER
        + "test_missing_approvers_are_not_reported_while_a_member_may_be_able_to_decide[approvers4-people4]",
        {
            "bot.domain.rules.permission:may_be_approver": around(
                lambda may, person, *facts, **named: may(
                    replace(person, upn=person.upn or "x@example.com"), *facts, **named
                )
            )
        },
    ),
    Guard(
        "requesters cannot decide their own requests",
        DECIDING + "test_requester_can_neither_approve_nor_reject_their_own_request",
        {
            "bot.domain.identity:Requester.is_person": around(
                lambda same, asked, person: same(asked, person) and not asked.identified
            )
        },
    ),
    Guard(
        "the own name of every kind of principal is compared",
        SPELLINGS + "[an IAM user in a path]",
        {"bot.domain.identity:Principal.own_names": always(())},
    ),
    Guard(
        "an own name without a domain is compared with mailboxes",
        LOOK_ALIKES + "test_person_whose_address_begins_with_the_requesters_name_may_not_decide[IAM user]",
        {"bot.domain.identity:_mailbox": always("")},
    ),
    Guard(
        "similar keys of [people] refuse their people",
        SPELLINGS + "[an entry of [people] for the session in another case]",
        {"bot.domain.identity:IdentityRules.people_like": always(())},
    ),
    Guard(
        "an address that no Teams user has identifies no one",
        ALIASES + "test_clicks_on_a_request_whose_requester_matches_no_teams_user_are_refused[Identity Center record]",
        {
            "bot.domain.identity:is_identified_by_name": around(
                lambda by_name, principal, names, rules: by_name(principal, names, replace(rules, allow_unmatched=True))
            ),
            "bot.domain.identity:Requester.known_by_address_only": always(False),
        },
    ),
    Guard(
        "records need people_domains too",
        ALIASES
        + "test_click_is_refused_if_an_unmatched_requesters_address_is_not_in_people_domains[Identity Center record]",
        {
            "bot.domain.identity:is_identified_by_name": around(
                lambda by_name, principal, names, rules: rules.allow_unmatched or by_name(principal, names, rules)
            )
        },
    ),
    Guard(
        "requesters that an earlier version knew by an address are identified again",
        ALIASES + "test_click_is_refused_if_an_earlier_version_stored_an_alias_as_an_identified_requester",
        {"bot.domain.identity:Requester.known_by_address_only": always(False)},
    ),
    Guard(
        "names are folded where they refuse",
        LOOK_ALIKES + "test_no_one_may_decide_if_the_requesters_address_looks_like_a_persons[full width]",
        {"bot.text.names:fold": around(lambda _, name: name.strip().casefold())},
    ),
    Guard(
        "names that another system writes are folded",
        LOOK_ALIKES + "test_requester_whose_address_another_system_spells_differently_may_not_decide[dotless i]",
        {"bot.text.names:fold": around(lambda _, name: caseless(name))},
    ),
    Guard(
        "only full-width letters of the file become plain",
        LOOK_ALIKES + "test_people_entry_for_a_look_alike_does_not_identify_the_person[the Kelvin sign]",
        {"bot.domain.identity:as_typed": around(lambda _, entry: caseless(entry))},
    ),
    Guard(
        "a UPN shows a guest without a role",
        DIRECTORY + "test_a_guest_whose_role_is_missing_or_unknown_counts_as_a_guest[no role]",
        {"bot.teams.wire.people:_FROM_ELSEWHERE": constant("no UPN has this")},
    ),
    Guard(
        "a member without role and UPN has no known tenant",
        DIRECTORY + "test_a_guest_whose_role_is_missing_or_unknown_counts_as_a_guest[no UPN]",
        {"bot.teams.wire.people:TeamMember.known_tenant": around(lambda _, member: member.tenant)},
    ),
    Guard(
        "several entries of one person are one member",
        DIRECTORY + "test_a_person_with_two_roster_entries_counts_as_a_guest_if_one_has_the_role_guest[guest first]",
        {"bot.teams.wire.people:TeamMember.completed_from": around(lambda _, member, page: member)},
    ),
    Guard(
        "look-alikes are granted nothing",
        LOOK_ALIKES + "test_look_alike_of_an_approver_may_not_decide[the Kelvin sign]",
        {"bot.text.names:exact": around(lambda _, name: fold(name))},
    ),
    Guard(
        "a record without an address identifies no one",
        IDENTITY_CENTER + "test_clicks_are_refused_while_the_identity_center_record_identifies_no_one[names1]",
        {
            "bot.domain.identity:is_identified_by_name": around(
                lambda by_name, principal, names, rules: bool(names) or by_name(principal, names, rules)
            )
        },
    ),
    Guard(
        "a user name that looks like an object id is not one",
        DEFAULT_DENY + "test_identity_center_user_name_is_not_used_as_an_object_id",
        {COMPARABLE: around(_only_by_ids)},
    ),
    Guard(
        "records count only for users of Identity Center",
        "tests/unit/domain/test_identity.py::test_identity_center_record_has_no_effect_on_other_kinds_of_principals",
        {"bot.domain.identity:needs_record": always(True)},
    ),
    Guard(
        "a record that became unreadable identifies no one",
        DEFAULT_DENY + "test_no_one_may_decide_while_the_requesters_identity_center_record_is_unreadable[read before]",
        {"bot.domain.identity:Requester.refusing_as": around(lambda keep, now, earlier: earlier or keep(now, earlier))},
    ),
    Guard(
        "a person named by a record stays refused while the record is unreadable",
        IDENTITY_CENTER + "test_requester_who_was_identified_before_cannot_decide_while_the_record_is_unreadable",
        {"bot.domain.identity:Requester.refusing_as": around(lambda _, now, earlier: now)},
    ),
    Guard(
        "an unreadable record is read again later",
        IDENTITY_CENTER + "test_unreadable_identity_center_record_does_not_delay_the_card",
        {"bot.service.reconcile.identifying:Identifying.identify": around(_as_complete)},
    ),
    Guard(
        "with several identity stores none is trusted",
        RECORDS + "test_no_record_is_read_unless_exactly_one_identity_store_is_visible[two]",
        {"bot.aws.identity_center:IdentityCenter._instances": around(_first_instance)},
    ),
    Guard(
        "the record of another user is rejected",
        RECORDS + "test_record_with_another_user_id_than_requested_raises_an_error",
        {
            "bot.aws.identity_center:names_in": around(
                lambda names, record, user: names({**record, "UserId": user}, user)
            )
        },
    ),
    Guard(
        "names with invisible characters are ignored",
        RECORDS + "test_user_name_or_address_that_is_too_long_or_has_invisible_characters_is_not_used",
        {"bot.aws.identity_center:usable_name": around(_cut_name)},
    ),
    Guard(
        "paused channels take no decisions",
        RELOADING + "test_pause_of_a_channel_removes_the_buttons_of_open_cards_until_the_pause_ends",
        {MAY_DECIDE: around(_while_paused)},
    ),
    Guard(
        "an empty list of approvers admits no one",
        DEFAULT_DENY + "test_empty_approver_list_lets_no_one_decide[of the channel]",
        {MAY_DECIDE: never(Refusal.NOBODY)},
    ),
    Guard(
        "a failed roster admits no one",
        DEFAULT_DENY + "test_no_one_may_decide_while_the_roster_is_unreadable[members]",
        {MAY_DECIDE: around(_known_without_roster), COMPARABLE: always(True)},
    ),
    Guard(
        "a failed roster admits no one listed by id",
        DEFAULT_DENY + "test_no_one_may_decide_while_the_roster_is_unreadable[by id, unidentified requester]",
        {MAY_DECIDE: around(_ids_without_roster), COMPARABLE: always(True)},
    ),
    Guard(
        "a member whose entry lacks something is requested singly",
        DIRECTORY + "test_a_member_whose_roster_entry_lacks_data_is_requested_singly[foreign form]",
        {"bot.teams.people.roster_reader:RosterReader.is_unclear": always(False)},
    ),
    Guard(
        "what the pages say against a person counts",
        DIRECTORY + "test_guest_or_foreigner_counts_as_a_guest_if_entries_lack_data_or_differ[a full member-guest]",
        {"bot.teams.wire.people:TeamMember.completed_from": around(lambda _, alone, _page: alone)},
    ),
    Guard(
        "a person of a tenant that Teams does not say is a guest",
        "tests/reliability/test_rosters.py::test_person_of_a_foreign_tenant_is_refused_if_teams_returns_no_tenant_id",
        {"bot.teams.wire.people:as_person": around(_of_our_tenant)},
    ),
    Guard(
        "an empty roster is not the whole roster",
        DIRECTORY + "test_members_are_requested_singly_if_the_roster_is_empty[{}]",
        {"bot.teams.people.roster_reader:RosterReader.whole": around(_always_whole)},
    ),
    Guard(
        "without a UPN nobody can be told from a requester known by an address",
        "tests/unit/domain/rules/test_permission.py::"
        "test_clicker_without_a_upn_is_comparable_only_with_a_matched_requester[by domain]",
        {COMPARABLE: around(_comparable_by_mail)},
    ),
    Guard(
        "a person in a roster that was not read is not unknown",
        UNREAD + "test_first_direct_message_arrives_within_a_minute_after_the_rosters_are_readable[by domain-8.0]",
        {"bot.domain.identity:Requester.may_be_found": always(False)},
    ),
    Guard(
        "requests of unidentified requesters cannot be decided",
        DEFAULT_DENY + "test_no_one_may_decide_a_request_of_an_unidentified_requester",
        {MAY_DECIDE: around(_unidentified_too)},
    ),
    Guard(
        "a person approves one level of a request only",
        ONE_LEVEL + "test_two_levels_are_approved_by_two_people",
        {MAY_DECIDE: around(_at_several_levels)},
    ),
    Guard(
        "no order of clicks lets a person approve two levels",
        "tests/reliability/test_interleavings.py::test_no_random_order_of_clicks_and_crashes_doubles_a_signal",
        {MAY_DECIDE: around(_at_several_levels)},
    ),
    Guard(
        "the claim sees approvals at other levels",
        ONE_LEVEL + "test_claim_sees_an_approval_that_another_process_stores_during_the_permission_check[sent]",
        {OTHER_LEVELS + "approvers_elsewhere": always(frozenset())},
    ),
    Guard(
        "approvals at other levels are checked again before the signal",
        ONE_LEVEL + "test_approval_is_not_sent_if_the_person_approved_another_level_since_the_claim[execution]",
        {OBJECTION: always(None)},
    ),
    Guard(
        "an approval at another level that may be anybody's is nobody else's",
        MATRIX + "[waiting at the second level, the votes at the first unreadable]",
        {MAY_DECIDE: never(Refusal.OTHER_LEVEL_UNKNOWN)},
    ),
    Guard(
        "a second account with the same address approves no other level",
        ONE_LEVEL + "test_second_account_with_the_same_address_is_the_same_person",
        {OTHER_LEVELS + "is_same_person": around(lambda _, one, other: one.user == other.user)},
    ),
    Guard(
        "a session name chosen by the caller identifies no one",
        DEFAULT_DENY + "test_session_name_chosen_by_the_caller_identifies_no_one",
        {"bot.domain.identity:IdentityRules.trusts": always(True)},
    ),
    Guard(
        "a person without a tenant is refused",
        DEFAULT_DENY + "test_clicker_without_a_tenant_id_may_not_decide[of bot and person]",
        {MAY_DECIDE: around(_without_tenant)},
    ),
    Guard(
        "guests and people of other tenants are refused",
        MATRIX + "[waiting]",
        {MAY_DECIDE: around(_of_any_tenant)},
    ),
    Guard(
        "replicas are decided only in their own account",
        MATRIX + "[a replica]",
        {MAY_DECIDE: around(_replicas_too)},
    ),
    Guard(
        "only the requester can cancel",
        WITHDRAWING + "test_cancellation_by_another_person_or_in_another_persons_chat_is_refused[person]",
        {"bot.domain.rules.permission:not_the_requester": never(Refusal.NOT_REQUESTER)},
    ),
    Guard(
        "a vote is bound to its step",
        "tests/unit/domain/rules/test_permission.py::test_vote_is_refused_at_a_step_that_does_not_wait[Level2-approve]",
        {MAY_DECIDE: never(Refusal.OTHER_STEP)},
    ),
    Guard(
        "permission is checked again before the signal",
        BEFORE_SIGNAL
        + "test_decision_is_not_sent_if_its_permission_ends_before_the_signal[left_the_team-not_approver-approve-execution]",
        {OBJECTION: always(None)},
    ),
    Guard(
        "a roster that fails before the signal stops it",
        BEFORE_SIGNAL + "test_decision_waits_while_the_roster_is_unreadable_and_is_released_after_a_minute",
        {OBJECTION: always(None)},
    ),
    Guard(
        "a file that changes while sending is stored stops the signal",
        BEFORE_SIGNAL + "test_decision_is_not_sent_if_its_channel_is_paused_while_the_state_sent_is_stored",
        {"bot.service.decisions.signal_attempt:has_changed": always(False)},
    ),
    Guard(
        "a revocation is bound to its step",
        "tests/unit/domain/test_withdrawal.py::test_person_who_may_not_approve_at_the_settling_step_may_not_revoke",
        {MAY_DECIDE: never(Refusal.OTHER_STEP)},
    ),
    Guard(
        "decisions expire after 60 seconds",
        RECONCILING + "test_claimed_vote_is_released_if_the_process_starts_two_minutes_after_a_crash",
        {"bot.domain.decision:DECISION_SPAN": constant(timedelta(hours=1))},
    ),
    Guard(
        "a role that is removed during the roster lookup stops the signal",
        "tests/scenario/test_permission_before_the_signal.py::"
        "test_decision_is_not_sent_if_its_role_is_removed_during_the_roster_lookup",
        {"bot.service.decisions.signal_content:removed_since": always(None)},
    ),
    Guard(
        "links to cards go to members of the channel only",
        COMMANDS + "test_requester_who_is_no_member_of_the_channel_gets_no_link_to_its_card",
        {"bot.service.reader:Reader.is_member": always(True)},
    ),
    Guard(
        "a person sees their own requests and those of their channels only",
        COMMANDS + "test_status_and_pending_show_no_request_to_a_guest_with_the_requesters_address",
        {"bot.service.reader:Reader.sees": always(True)},
    ),
    Guard(
        "ids from outside are quoted in links",
        "tests/unit/domain/test_links.py::test_ids_from_outside_cannot_change_the_host_the_path_or_the_query_of_a_link",
        {"bot.domain.shown.links:quote": around(lambda _quote, text, safe: text)},
    ),
    Guard(
        "the history has no request whose card the person cannot see",
        HISTORY + "test_history_never_shows_a_request_of_a_channel_that_the_asker_is_not_in[history {node}]",
        {"bot.service.reader:Reader.sees": always(True)},
    ),
    Guard(
        "the row decides, not the index of the history",
        HISTORY + "test_history_shows_no_request_whose_row_has_left_the_list",
        {"bot.domain.history:is_listed": always(True)},
    ),
    Guard(
        "an answer for one person is not posted in the channel",
        "tests/scenario/test_teams_turns.py::test_private_answer_that_cannot_be_sent_is_never_posted_in_the_channel",
        {
            "bot.teams.inbound.replies:Replies.reply_privately": around(
                lambda _private, replies, inbound, _person, view, style: replies.reply(inbound, view, style)
            )
        },
    ),
)
