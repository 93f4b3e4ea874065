"""The checks of Microsoft's side: sign-in, signing keys, clock, channels, rosters, direct messages, activities."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final

from bot.domain.routing import Channel
from bot.ports.probes import MicrosoftRefused, TeamsProbes
from bot.ports.teams import ChatRefused, ChatThrottled, ChatUnavailable, Groups, GroupUnavailable
from bot.service.checks import advice
from bot.service.checks.check import EACH_MINUTE, Check, NotChecked, Problem
from bot.service.checks.outcomes import Outcomes, Work

TOKEN: Final = "token"  # noqa: S105 - the name of a check
KEYS: Final = "keys"
GROUP: Final = "group "  # begins the name of a check; the object id of the group follows
DIRECT_MESSAGES: Final = "direct messages"
ACTIVITIES: Final = "activities"
SERVICE_ADDRESSES: Final = "service addresses"
EACH_TEN_MINUTES: Final = 600.0  # seconds; an expired secret shows before the last token has expired
LASTS: Final = timedelta(days=1)  # a failure that has not occurred again for this long is no longer a problem
SEVERAL: Final = 2  # people without direct messages
MOST_NAMED: Final = 5  # people or hosts in one problem
HOST_NOT_LISTED: Final = "host_not_listed"
FROM_ANYBODY: Final = frozenset({"audience", "issuer"})  # reasons for refusing what any owner of an Azure Bot can send


def token(probes: TeamsProbes) -> Check:
    """Check that the bot can get a token for Teams from Microsoft."""

    async def find() -> Problem | None:
        try:
            await probes.sign_in()
        except MicrosoftRefused as refused:
            return Problem(refused.code, advice.sign_in_advice(refused.code, answered=refused.answered))
        return None

    return Check(TOKEN, find, every=EACH_TEN_MINUTES)


def keys(probes: TeamsProbes) -> Check:
    """Check that the signing keys of the Bot Framework can be fetched. Known keys stay valid for five days."""

    async def find() -> Problem | None:
        try:
            await probes.fetch_keys()
        except MicrosoftRefused as refused:
            words = advice.sign_in_advice(refused.code, answered=refused.answered)
            return Problem(refused.code, f"{refused.detail}; {words}")
        return None

    return Check(KEYS, find)


def channel(configured: Channel, probes: TeamsProbes, outcomes: Outcomes) -> Check:
    """Check that Teams knows the channel, and that the bot is in its team. Stores the result for `activities`."""

    async def find() -> Problem | None:
        try:
            await probes.read_members(configured.conversation)
        except ChatThrottled:
            raise NotChecked from None
        except ChatUnavailable as unavailable:
            return Problem(unavailable.code, "Teams does not answer. The bot tries again each minute")
        except ChatRefused as refused:
            if refused.detail == HOST_NOT_LISTED:
                return Problem(HOST_NOT_LISTED, advice.SERVICE_HOST)
            if words := advice.CHANNEL.get(refused.problem):
                outcomes.failed(Work.CHANNEL, configured.conversation, code=refused.problem)
                return Problem(refused.problem, words)
        outcomes.succeeded(Work.CHANNEL, configured.conversation)
        return None

    return Check(_channel(configured), find, needs=TOKEN)


def roster(configured: Channel, probes: TeamsProbes) -> Check:
    """Check that the last read of the channel's members had everything that the bot needs.

    If it had not, the check first reads the members again.
    """

    async def find() -> Problem | None:
        if probes.roster_problems(configured.conversation):
            with suppress(ChatRefused, ChatThrottled, ChatUnavailable):
                await probes.read_members(configured.conversation)
        found = probes.roster_problems(configured.conversation)
        return Problem(", ".join(found), ". ".join(advice.ROSTER[each] for each in found)) if found else None

    return Check(f"roster {configured.name}", find, every=EACH_MINUTE, needs=_channel(configured))


def group(identity: str, groups: Groups) -> Check:
    """Check that the bot can read the members of a Microsoft Entra group whose members are approvers."""

    async def find() -> Problem | None:
        try:
            await groups.members(identity)
        except GroupUnavailable as unavailable:
            said = f" ({unavailable.detail})" if unavailable.detail else ""
            return Problem(unavailable.problem, f"{advice.GROUP[unavailable.problem]}{said}")
        return None

    return Check(f"{GROUP}{identity}", find, every=EACH_TEN_MINUTES, needs=TOKEN)


def cards(configured: Channel, outcomes: Outcomes) -> Check:
    """Check that Teams accepts new cards in the channel, as far as this process has posted any."""

    async def find() -> Problem | None:
        refused = outcomes.failure(Work.POST, configured.conversation, within=LASTS)
        return Problem(refused.code, advice.POST.get(refused.code, advice.REFUSED_CARD)) if refused else None

    return Check(f"cards {configured.name}", find, every=EACH_MINUTE, is_memory=True)


def direct_messages(outcomes: Outcomes) -> Check:
    """Check that Teams accepts direct messages to requesters, as far as this process has sent any.

    One person may have blocked the bot: the log and the request's thread say so. It is a problem of the installation if
    Teams has refused SEVERAL people since somebody last got a message.
    """

    async def find() -> Problem | None:
        accepted_at = outcomes.last_success(Work.DIRECT)
        refused = {
            person: each
            for person, each in outcomes.failures(Work.DIRECT, within=LASTS).items()
            if accepted_at is None or each.at > accepted_at
        }
        if len(refused) < SEVERAL:
            return None
        codes = sorted({each.code for each in refused.values()})
        words = ". ".join(advice.DIRECT.get(code, advice.REFUSED_DIRECT) for code in codes)
        return Problem(", ".join(codes), f"Teams refuses direct messages to {_some(sorted(refused))}: {words}")

    return Check(DIRECT_MESSAGES, find, every=EACH_MINUTE, is_memory=True)


def activities(outcomes: Outcomes, channels: Sequence[Channel], *, app_id: str, tenant_id: str) -> Check:
    """Check that activities with a valid signature are for this bot. No stranger can cause or keep this problem.

    - An accepted activity shows that app id, tenant, clock and keys are right. For a day, refusals say nothing.
    - A token for this app (every reason but FROM_ANYBODY) reaches nobody else: only the bot's own Azure Bot sends it.
    - A token for another app proves nothing: any owner of an Azure Bot gets them, and can send them here with any body.
      It matters only if Teams itself says, in every channel, that the app of the settings is not in it.
    """

    async def find() -> Problem | None:
        if outcomes.has_succeeded(Work.ACTIVITY, within=LASTS):
            return None
        refusals = outcomes.failures(Work.ACTIVITY, within=LASTS)
        if any(outcomes.failure(Work.CHANNEL, each.conversation, within=LASTS) is None for each in channels):
            refusals = {reason: each for reason, each in refusals.items() if reason not in FROM_ANYBODY}
        refused = max(refusals.values(), key=lambda each: each.at, default=None)
        if refused is None:
            return None
        words = advice.ACTIVITY.get(refused.code, advice.OTHER_ACTIVITY)
        return Problem(refused.code, words.format(seen=refused.detail, app_id=app_id, tenant_id=tenant_id))

    return Check(ACTIVITIES, find, every=EACH_MINUTE, is_memory=True)


def service_addresses(outcomes: Outcomes) -> Check:
    """Check that the bot may send its token to the service URLs that Teams names."""

    async def find() -> Problem | None:
        hosts = outcomes.failures(Work.SERVICE_HOST, within=LASTS)
        return Problem(HOST_NOT_LISTED, f"{_some(sorted(hosts))}: {advice.SERVICE_HOST}") if hosts else None

    return Check(SERVICE_ADDRESSES, find, every=EACH_MINUTE, is_memory=True)


def _channel(configured: Channel) -> str:
    return f"channel {configured.name}"


def _some(names: Sequence[str]) -> str:
    """Return the first names. Further ones are not counted: each of them would begin the problem again in the log."""
    more = " and others" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
