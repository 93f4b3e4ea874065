"""Finds out whether the person who clicked may decide: asks the roster, and the rules of bot.domain.decision."""

from dataclasses import replace

from bot.domain.decision import Membership, Refusal, may_decide
from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.request import Verdict
from bot.domain.routing import Channel
from bot.ports import People, RosterUnavailable
from bot.service.clicks import Click
from bot.service.configured import Configured


class Permission:
    """Answers who may decide."""

    def __init__(self, people: People, configured: Configured) -> None:
        self._people, self._configured = people, configured

    async def refusal(
        self, record: Record, channel: Channel, click: Click, verdict: Verdict
    ) -> tuple[Person, Refusal | None]:
        """Return the clicker with what the roster knows of them, and why they may not decide, if so."""
        request, requester, route = record.request, record.requester, record.route
        if request is None or requester is None or route is None or not route.settled or route.channel != channel.name:
            return click.person, Refusal.NOT_ROUTED
        person, membership = await self._known(click.person, channel)
        in_force = self._configured.channel(channel.name)  # the file may have been read anew while the roster was asked
        if in_force is None or in_force.conversation != channel.conversation:
            return person, Refusal.NOT_ROUTED
        if self._configured.placed_by_others(record):
            return person, Refusal.RECONFIGURED
        refusal = may_decide(
            person,
            verdict=verdict,
            comment=click.comment,
            request=request,
            requester=requester,
            channel=in_force,
            step=click.step,
            membership=membership,
            tenant_id=self._configured.tenant_id,
            allow_unplaced=self._configured.rules.allow_unplaced,
        )
        return person, refusal

    async def _known(self, person: Person, channel: Channel) -> tuple[Person, Membership]:
        """Complete the clicker from the roster: the activity carries neither UPN nor mail."""
        try:
            entry = await self._people.member(channel.conversation, person.object_id)
        except RosterUnavailable:
            return person, Membership(member=None)
        if entry is None:
            return person, Membership(member=False)
        known = replace(person, name=entry.name or person.name, upn=entry.upn, mail=entry.mail, teams_id=entry.teams_id)
        return replace(known, guest=person.guest or entry.guest), Membership(member=True)
