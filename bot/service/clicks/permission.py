"""Finds out whether the person who clicked may do so: asks the roster, and the rules of bot.domain.permission."""

from dataclasses import dataclass, replace

from bot.domain.identity import Person
from bot.domain.permission import Membership, Refusal, may_cancel, may_decide, not_the_requester
from bot.domain.record import Record
from bot.domain.request import Action
from bot.domain.routing import Channel
from bot.ports.teams import People, RosterUnavailable
from bot.service.clicks.click import Click
from bot.service.configured import Configured


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody with what the roster of a conversation said of them."""

    person: Person
    membership: Membership
    conversation: str


class Permission:
    """Answers who may decide."""

    def __init__(self, people: People, configured: Configured) -> None:
        self._people, self._configured = people, configured

    def stranger(self, record: Record, person: Person) -> Refusal | None:
        """Say why this person does not count as the requester, if so; nothing of the request is shown to them."""
        if record.requester is None:
            return Refusal.UNIDENTIFIED
        return not_the_requester(person, record.requester, self._configured.tenant_id)

    async def known(self, person: Person, channel: Channel) -> Known:
        """Complete somebody from the channel's roster: an activity carries neither UPN nor mail."""
        try:
            entry = await self._people.member(channel.conversation, person.object_id)
        except RosterUnavailable:
            return Known(person, Membership(member=None), channel.conversation)
        if entry is None:
            return Known(person, Membership(member=False), channel.conversation)
        told = replace(person, name=entry.name or person.name, upn=entry.upn, mail=entry.mail, teams_id=entry.teams_id)
        complete = replace(told, guest=person.guest or entry.guest)
        return Known(complete, Membership(member=True), channel.conversation)

    def refusal(
        self, record: Record, channel_name: str, known: Known, *, act: Action, step: str, comment: str
    ) -> Refusal | None:
        """Say why somebody may not do this, by the row as given and by what is in force now."""
        request, requester, route = record.request, record.requester, record.route
        if request is None or requester is None or route is None or not route.settled or route.channel != channel_name:
            return Refusal.NOT_ROUTED
        channel = self._configured.channel(channel_name)
        if channel is None or channel.conversation != known.conversation:
            return Refusal.NOT_ROUTED
        if self._configured.identified_by_former_rules(record):
            return Refusal.RECONFIGURED
        return may_decide(
            known.person,
            verdict=act,
            comment=comment,
            request=request,
            requester=requester,
            channel=channel,
            step=step,
            membership=known.membership,
            tenant_id=self._configured.tenant_id,
            allow_unidentified=self._configured.rules.allow_unidentified,
        )

    def refusal_to_cancel(self, record: Record, click: Click) -> Refusal | None:
        """Say why the clicker may not take the request back, by the row as given and by what is in force now."""
        request, requester = record.request, record.requester
        if request is None or requester is None:
            return Refusal.UNIDENTIFIED
        if self._configured.identified_by_former_rules(record):
            return Refusal.RECONFIGURED
        return may_cancel(
            click.person,
            request=request,
            requester=requester,
            step=click.step,
            tenant_id=self._configured.tenant_id,
            has_role=self._configured.cancel_role(record.key) is not None,
        )
