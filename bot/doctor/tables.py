"""What doctor shows as tables: who can decide each policy, requesters, escalations, groups, and how sessions end."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from bot.domain.configuration import Configuration
from bot.domain.identity import IdentityRules
from bot.domain.request import AccessRequest, Approver, ApproverKind, Level, RequestKey, Status
from bot.domain.routing import Channel
from bot.domain.rules.approvers import groups_in
from bot.domain.rules.permission import Refusal, has_votable_approver, may_list_role, why_unidentified
from bot.ports.aws import AwsUnavailable, ListedRequest
from bot.ports.probes import ApprovalPolicy, AwsProbes, SessionPreferences
from bot.ports.store import Store, StoreUnavailable
from bot.ports.teams import Groups, GroupUnavailable, People, RosterUnavailable
from bot.service.checks.aws import READING, possible_channels
from bot.service.reconcile.identifying import Identifying

MOST_ROWS: Final = 50  # requests in the table
CONSOLE_ONLY: Final = "console only"
NO_CHANNEL: Final = "no channel"
UNREADABLE: Final = "unreadable"
UNREAD_PREFERENCES: Final = "not read; ReadSessionPreferences in reader-policy.json allows it"
ALLOWED: Final = "not known as a person; unplaced_requesters allows decisions"
WHY: Final = {
    Refusal.UNIDENTIFIED: "not known as a person: add the role to trusted_roles if its trust policy fixes the session "
    "name, the domain to people_domains, or the requester to [people]",
    Refusal.UNMATCHED: "no Teams user has this address: correct it in Teams or AWS, or add the requester to [people]",
    Refusal.REQUESTER_UNREAD: "not found yet, because not every roster could be read",
}


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """A level of an approval policy. `channels` may decide it; empty if none can, and `why` says so."""

    account: str
    region: str
    policy: str
    step: str
    approvers: tuple[str, ...]
    channels: tuple[str, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class RequesterRow:
    """The requester of a request. `why` is empty if they are identified.

    `blocks` is True if the request waits, and nobody can decide it before an admin adds the requester.
    """

    request: str
    requester: str
    why: str = ""
    blocks: bool = False


@dataclass(frozen=True, slots=True)
class EscalationRow:
    """A channel whose levels others may decide too, after `minutes` without a decision: `approvers` of channel `to`."""

    channel: str
    minutes: int
    to: str
    approvers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A Microsoft Entra group that a channel lists. `size` is None if its members cannot be read.

    `absent` has its members who are not in the channel, by name where the bot knows them, else by object id; None if
    the channel's members cannot be read either.
    """

    group: str
    channel: str
    size: int | None
    absent: tuple[str, ...] | None


async def group_rows(channels: Sequence[Channel], groups: Groups, people: People) -> list[GroupRow]:
    """Return each group of approvers in each channel that lists it."""
    listed = [(each, channel) for channel in channels for each in groups_in(channel.all_approvers)]
    if not listed:
        return []
    return list(await asyncio.gather(*(_group_row(each, channel, groups, people) for each, channel in listed)))


async def _group_row(group: str, channel: Channel, groups: Groups, people: People) -> GroupRow:
    try:
        members = await groups.members(group)
    except GroupUnavailable:  # its check has a problem
        return GroupRow(group, channel.name, None, None)
    try:
        present = {each.user for each in await people.roster(channel.conversation)}
    except RosterUnavailable:
        return GroupRow(group, channel.name, len(members), None)
    outside = members - present
    names = {each.user: each.shown_name for each in await people.with_ids(outside)}
    absent = sorted(names.get(each, each) for each in outside)
    return GroupRow(group, channel.name, len(members), tuple(absent))


@dataclass(frozen=True, slots=True)
class SessionRow:
    """When Session Manager ends sessions, whose access AWS does not end: after so many minutes, or idle ones.

    `longest` is None if there is no maximum. `why` says why neither could be read, and then both are None.
    """

    account: str
    region: str
    longest: int | None = None
    idle: int | None = None
    why: str = ""


def escalation_rows(channels: Sequence[Channel]) -> Iterator[EscalationRow]:
    """Yield who gains the right to decide by an escalation, and when."""
    by_name = {channel.name: channel for channel in channels}
    for channel in channels:
        if channel.escalate_after is None or channel.escalate_to is None:
            continue
        target = by_name[channel.escalate_to]
        listed = dict.fromkeys(target.all_approvers)
        yield EscalationRow(channel.name, _minutes(channel.escalate_after), target.name, tuple(listed))


async def policy_rows(probes: AwsProbes, configuration: Configuration) -> list[PolicyRow]:
    """Return the levels of all manual approval policies.

    Accounts and Regions whose policies AWS does not return are left out. A policy that cannot be parsed has one row
    without a level.
    """
    answers = await asyncio.gather(
        *(probes.approval_policies(account, region, within=READING) for account, region in configuration.places),
        return_exceptions=True,
    )
    found: list[PolicyRow] = []
    for (account, region), policies in zip(configuration.places, answers, strict=True):
        if isinstance(policies, AwsUnavailable):
            continue  # its check has a problem
        if isinstance(policies, BaseException):
            raise policies
        for policy in policies.read:
            found += _policy_rows(policy, account, region, configuration.channels)
    return found


async def session_rows(probes: AwsProbes, configuration: Configuration) -> list[SessionRow]:
    """Return Session Manager's preferences of each account and Region. The permission to read them is optional."""
    places = configuration.places
    answers = await asyncio.gather(
        *(probes.session_preferences(account, region) for account, region in places), return_exceptions=True
    )
    return [_session_row(place, answer) for place, answer in zip(places, answers, strict=True)]


def _session_row(place: tuple[str, str], answer: SessionPreferences | BaseException) -> SessionRow:
    match answer:
        case SessionPreferences(longest=longest, idle=idle):
            return SessionRow(*place, None if longest is None else _minutes(longest), _minutes(idle))
        case AwsUnavailable(code=code):
            return SessionRow(*place, why=f"{UNREAD_PREFERENCES} ({code})")
        case _:
            raise answer


def _minutes(span: timedelta) -> int:
    return int(span.total_seconds()) // 60


def _policy_rows(policy: ApprovalPolicy, account: str, region: str, channels: Sequence[Channel]) -> Iterator[PolicyRow]:
    if policy.levels is None:
        yield PolicyRow(account, region, policy.name, "", (), (), UNREADABLE)
        return
    possible = list(dict.fromkeys(possible_channels(policy.name, account, region, channels)))
    for level in policy.levels:
        able = tuple(each.name for each in possible if _can_decide(each, level, account))
        why = "" if able else NO_CHANNEL if has_votable_approver(level) else CONSOLE_ONLY
        approvers = tuple(map(_shown, level.approvers or ()))
        yield PolicyRow(account, region, policy.name, level.step, approvers, able, why)


def _can_decide(channel: Channel, level: Level, account: str) -> bool:
    return (
        channel.decide
        and bool(channel.approvers_at(level.step))
        and has_votable_approver(level)
        and may_list_role(level, channel.role_at(level.step, account))
    )


def _shown(approver: Approver) -> str:
    if approver.kind is ApproverKind.ROLE:
        return f"role {approver.id.rpartition('/')[2]}"
    return f"{approver.kind.value} {approver.id}"


async def requester_rows(
    listed: Sequence[ListedRequest],
    read: Mapping[RequestKey, AccessRequest],
    *,
    store: Store,
    identifying: Identifying,
    rules: IdentityRules,
) -> list[RequesterRow]:
    """Return the requesters of at most MOST_ROWS requests as the current rules identify them.

    The request that changed last comes first; replicas are left out. `listed` are the requests of AWS's lists, and
    `read` those that were read just now. The facts of all other requests come from the store; a request is left out if
    the store does not have it or cannot be read.
    """
    found = [read.get(key) or await _stored(store, key) for key in newest(listed)[:MOST_ROWS]]
    known = (each for each in found if each and each.replica_of is None)
    return [await _requester_row(identifying, each, rules) for each in known]


def newest(listed: Sequence[ListedRequest]) -> list[RequestKey]:
    """Return the keys of the listed requests without replicas. The request that changed last comes first."""
    originals = [each for each in listed if each.replica_of is None]
    originals.sort(key=lambda each: each.modified_at.timestamp() if each.modified_at else 0.0, reverse=True)
    return list(dict.fromkeys(each.key for each in originals))


async def _stored(store: Store, key: RequestKey) -> AccessRequest | None:
    try:
        row = await store.load(key)
    except StoreUnavailable:
        return None
    return row.request if row else None


async def _requester_row(identifying: Identifying, request: AccessRequest, rules: IdentityRules) -> RequesterRow:
    requester = (await identifying.identify(request, earlier=None)).requester
    name = requester.person.shown_name if requester.person else requester.principal.shown_name
    if requester.identified:
        return RequesterRow(str(request.key), name)
    if rules.allow_unidentified:
        return RequesterRow(str(request.key), name, ALLOWED)
    blocks = request.status is Status.PENDING and not requester.may_be_found
    return RequesterRow(str(request.key), name, WHY[why_unidentified(requester)], blocks)
