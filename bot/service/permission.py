"""Finds out whether the person who clicked may do so: asks the roster, and the rules of bot.domain.decision."""

from dataclasses import replace

from bot.domain.identity import Person
from bot.domain.permission import Membership, Refusal, may_cancel, may_decide, not_the_requester
from bot.domain.record import Record
from bot.domain.request import Act, Recall
from bot.domain.routing import Channel
from bot.ports.teams import People, RosterUnavailable
from bot.service.clicks import Click
from bot.service.configured import Configured


class Permission:
    """Answers who may decide."""

    def __init__(self, people: People, configured: Configured) -> None:
        self._people, self._configured = people, configured

    def stranger(self, record: Record, person: Person) -> Refusal | None:
        """Say why this person does not count as the requester, if so; nothing of the request is shown to them."""
        if record.requester is None:
            return Refusal.UNPLACED
        return not_the_requester(person, record.requester, self._configured.tenant_id)

    async def refusal(self, record: Record, channel: Channel, click: Click, act: Act) -> tuple[Person, Refusal | None]:
        """Return the clicker with what the roster knows of them, and why they may not do this, if so."""
        if act is Recall.CANCEL:
            return self._as_requester(record, click)
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
            verdict=act,
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

    def _as_requester(self, record: Record, click: Click) -> tuple[Person, Refusal | None]:
        request, requester = record.request, record.requester
        if request is None or requester is None:
            return click.person, Refusal.UNPLACED
        if self._configured.placed_by_others(record):
            return click.person, Refusal.RECONFIGURED
        refusal = may_cancel(
            click.person,
            request=request,
            requester=requester,
            step=click.step,
            tenant_id=self._configured.tenant_id,
            has_role=self._configured.cancel_role(record.key) is not None,
        )
        return requester.person or click.person, refusal  # the same person, with the name that CloudTrail is to show

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
