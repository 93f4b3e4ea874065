"""The checks of AWS's side: roles, approval policies, the queue's settings, and what failed in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import structlog

from bot.domain.other_levels import lacks_people
from bot.domain.request import Level
from bot.domain.routing import Channel
from bot.domain.rules.permission import has_votable_approver, may_list_role
from bot.ports.aws import AwsThrottled, AwsUnavailable, RoleSession
from bot.ports.probes import ApprovalPolicy, AwsProbes
from bot.service.checks import advice
from bot.service.checks.check import EACH_MINUTE, NO_ANSWER, Check, NotChecked, Problem
from bot.service.checks.outcomes import Outcomes, Work

QUEUE_SETTINGS: Final = "queue settings"
IDENTITY_CENTER: Final = "identity center"
AWS_MANAGED_KEY: Final = "alias/aws/sqs"
DENIED: Final = "AccessDenied"  # STS's code, which may depend on the name of the session
LASTS: Final = timedelta(days=1)  # a failure that has not occurred again for this long is no longer a problem
SWEPT: Final = timedelta(minutes=10)  # what a sweep reports is reported again by the next one
REPEATED: Final = 2  # failures in a row: one event may be lost, one lookup be slow, and one node be gone
READING: Final = 40.0  # seconds a round for the policies of an account and Region; the next round continues
LONGEST_READING: Final = READING + 5.0
MOST_NAMED: Final = 5  # policies in one problem
log = structlog.get_logger(__name__)


def role(arn: str, sessions: Callable[[], Awaitable[Sequence[RoleSession]]], probes: AwsProbes) -> Check:
    """Check that the bot can assume a role in each of some sessions, which differ in their names.

    `sessions` returns them, and may raise NotChecked.
    """

    async def find() -> Problem | None:
        denied = []
        for each in await sessions():
            try:
                await probes.assume(each)
            except AwsThrottled:
                raise NotChecked from None
            except AwsUnavailable as unavailable:
                if unavailable.code != DENIED:
                    return Problem(unavailable.code, advice.role_advice(unavailable.code, each.name))
                denied.append(each.name)
        return Problem(DENIED, advice.role_advice(DENIED, ", ".join(denied))) if denied else None

    return Check(f"role {arn}", find)


def policies(account: str, region: str, probes: AwsProbes, channels: Sequence[Channel]) -> Check:
    """Check that an account and Region has approval policies, and that each level can be decided from Teams.

    All replicas share AWS's 3 calls a second, so many policies take several rounds, a minute apart. Until all are read,
    the problems of those that are read count, and the log says how many are.
    """
    name = f"policies {account} {region}"

    async def find() -> Problem | None:
        try:
            found = await probes.approval_policies(account, region, within=READING)
        except AwsThrottled:
            raise NotChecked from None
        except AwsUnavailable as unavailable:
            return Problem(unavailable.code, advice.READING_CODES.get(unavailable.code, advice.UNREAD_POLICIES))
        if found.listed is None:
            return Problem(NO_ANSWER, f"the approval policies were not listed within {READING:.0f} seconds")
        if not found.listed:
            known = region in advice.JIT_REGIONS
            return Problem("no_policy", advice.NO_POLICY) if known else Problem("no_jit_region", advice.NO_JIT_REGION)
        if not found.complete:
            log.info("check_unfinished", check=name, read=len(found.read), listed=found.listed)
        undecidable: list[tuple[str, str]] = []
        for policy in found.read:
            undecidable += _undecidable(policy, account, region, channels)
            await asyncio.sleep(0)  # with a hundred channels, one policy takes milliseconds
        problem = _joined(undecidable)
        if problem is None and not found.complete:
            raise NotChecked  # due again in the next round
        return problem

    return Check(name, find, longest=LONGEST_READING)


def queue_settings(probes: AwsProbes, outcomes: Outcomes) -> Check:
    """Check that EventBridge may send to the queue. If an event arrived within LASTS, the settings do not matter."""

    async def find() -> Problem | None:
        try:
            settings = await probes.queue_settings()
        except AwsThrottled:
            raise NotChecked from None
        except AwsUnavailable as unavailable:
            return Problem(unavailable.code, advice.aws_advice(unavailable.code, advice.QUEUE_CODES))
        if settings is None or outcomes.has_succeeded(Work.EVENT, within=LASTS):
            return None
        if settings.kms_key.endswith(AWS_MANAGED_KEY):
            return Problem("aws_managed_key", advice.AWS_MANAGED_KEY)
        return None if settings.lets_somebody_send else Problem("no_queue_policy", advice.NO_QUEUE_POLICY)

    return Check(QUEUE_SETTINGS, find)


def events(account: str, region: str, outcomes: Outcomes) -> Check:
    """Check that events announce new requests, so that the sweep is not the first to find them."""
    subject = f"{account} {region}"

    async def find() -> Problem | None:
        missed = outcomes.failure(Work.EVENT, subject, within=LASTS)
        return Problem(missed.code, advice.NO_EVENTS) if missed and missed.count >= REPEATED else None

    return Check(f"events {subject}", find, every=EACH_MINUTE, is_memory=True)


def requesters(account: str, region: str, outcomes: Outcomes) -> Check:
    """Check that the requesters of open requests are identified, as far as the sweep has reported."""
    subject = f"{account} {region}"

    async def find() -> Problem | None:
        unidentified = outcomes.failure(Work.REQUESTER, subject, within=SWEPT)
        if unidentified is None:
            return None
        return Problem(unidentified.code, advice.UNIDENTIFIED.format(seen=unidentified.detail))

    return Check(f"requesters {subject}", find, every=EACH_MINUTE, is_memory=True)


def requests(account: str, region: str, outcomes: Outcomes) -> Check:
    """Check that requests can be read completely. One alone is no problem: its node may be gone."""
    subject = f"{account} {region}"

    async def find() -> Problem | None:
        incomplete = outcomes.failure(Work.READING, subject, within=LASTS)
        if incomplete is None or incomplete.count < REPEATED:
            return None
        return Problem(incomplete.code, advice.INCOMPLETE.format(request=incomplete.detail))

    return Check(f"requests {subject}", find, every=EACH_MINUTE, is_memory=True)


def decisions(role: str, outcomes: Outcomes) -> Check:
    """Check that AWS lets this role decide, as far as this process has sent decisions.

    An empty `role` means the bot's own credentials.
    """

    async def find() -> Problem | None:
        denied = outcomes.failure(Work.SIGNAL, role, within=LASTS)
        return Problem(denied.code, advice.DENIED_SIGNAL) if denied else None

    return Check(f"decisions {role}".strip(), find, every=EACH_MINUTE, is_memory=True)


def identity_center(outcomes: Outcomes) -> Check:
    """Check that the bot can read user records of IAM Identity Center, as far as requests needed any."""

    async def find() -> Problem | None:
        failed = outcomes.failure(Work.IDENTITY_CENTER, within=LASTS)
        if failed is None or failed.count < REPEATED:
            return None
        return Problem(failed.code, advice.aws_advice(failed.code, advice.IDENTITY_CENTER))

    return Check(IDENTITY_CENTER, find, every=EACH_MINUTE, is_memory=True)


# --- approval policies


def _undecidable(
    policy: ApprovalPolicy, account: str, region: str, channels: Sequence[Channel]
) -> Iterator[tuple[str, str]]:
    """Yield a code and advice for each level that no channel can decide.

    Yield them once for a policy that cannot be read, and for each channel with too few people for all its levels.
    """
    if policy.levels is None:
        yield "unreadable_policy", f"policy {policy.name}: the document cannot be read"
        return
    possible = tuple(possible_channels(policy.name, account, region, channels))
    for channel in possible:
        if lacks_people(channel, policy.levels):
            yield "one_level", advice.ONE_LEVEL.format(policy=policy.name, channel=channel.name)
    for level in policy.levels:
        if not has_votable_approver(level):
            yield "console_only", advice.CONSOLE_ONLY.format(policy=policy.name, step=level.step)
        elif roles := _roles_not_listed(level, possible, account):
            yield "other_role", advice.OTHER_ROLE.format(policy=policy.name, step=level.step, roles=", ".join(roles))


def _roles_not_listed(level: Level, channels: Sequence[Channel], account: str) -> list[str]:
    """Return the channels' roles at a level if AWS is certain to refuse all of them; an empty list otherwise."""
    roles = [channel.role_at(level.step, account) for channel in channels]
    if any(may_list_role(level, role) for role in roles):
        return []
    return sorted({role for role in roles if role})


def possible_channels(policy: str, account: str, region: str, channels: Sequence[Channel]) -> Iterator[Channel]:
    """Yield the channels that may get a request of a policy: several, because the tags of its nodes are unknown."""
    for channel in channels:
        match = channel.match
        if match is None or not all(
            not listed or value in listed
            for listed, value in ((match.accounts, account), (match.regions, region), (match.policies, policy))
        ):
            continue
        yield channel
        if not match.tags:
            return
    yield from (channel for channel in channels if channel.fallback)


def _joined(problems: Sequence[tuple[str, str]]) -> Problem | None:
    if not problems:
        return None
    more = [f"and {len(problems) - MOST_NAMED} more"] if len(problems) > MOST_NAMED else []
    words = [words for _, words in problems[:MOST_NAMED]]
    return Problem(", ".join(sorted({code for code, _ in problems})), "; ".join([*words, *more]))
