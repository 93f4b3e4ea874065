"""Names people: on a waiting card and in a note those in `mention`, on the card also those in the reason.

The requester's message names the people who may decide.

Decides which rosters are read, and whether mentions notify. `bot.domain.shown.mentions` finds the people in the reason.
"""

from dataclasses import replace

from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.record import Record
from bot.domain.routing import Channel
from bot.domain.rules.approvers import listed_approvers
from bot.domain.shown.card import asks_for_decision, mentions_of, with_mentions
from bot.domain.shown.mentions import may_mention, mentioned
from bot.domain.shown.views import CardView, DirectView, NoteView
from bot.domain.shown.wanted import Wanted
from bot.ports.teams import People, RosterUnavailable
from bot.service.approver_groups import ApproverGroups
from bot.text.names import exact


class Mentioning:
    """Adds mentions to waiting cards and to notes that call people, and names to the requester's message.

    People that the bot cannot find, because a roster is unavailable, are left out. If the card is updated later for
    another reason, their names are added.

    Mentions are not part of a card's digest: a person who joins or is renamed does not cause an update.
    """

    def __init__(self, people: People, groups: ApproverGroups) -> None:
        self._people, self._groups = people, groups

    async def on_post(self, record: Record, want: Wanted) -> Wanted:
        """Return a waiting card or a note that calls people with mentions, which notify; a direct message with names.

        Return anything else unchanged.
        """
        view = want.view
        if isinstance(view, NoteView) and view.level:
            asked = await self._asked(want.channel, view.level.step)
            return replace(want, view=replace(view, mentions=mentions_of(asked)))
        return await self._completed(record, want, rings=True)

    async def on_update(self, record: Record, want: Wanted) -> Wanted:
        """Return a waiting card or a direct message with names but without mentions; return anything else unchanged.

        Whether Teams would notify people again when an update mentions them is not verified.
        """
        return await self._completed(record, want, rings=False)

    async def _completed(self, record: Record, want: Wanted, *, rings: bool) -> Wanted:
        if isinstance(want.view, DirectView):
            names = await self._deciders(want.view.deciders, want)
            return replace(want, view=replace(want.view, decider_names=names))
        if not isinstance(want.view, CardView) or not asks_for_decision(want.view):
            return want
        asked = await self._asked(want.channel, want.view.step)
        named = await self._named(record, want.channel)
        return replace(want, view=with_mentions(want.view, asked, named, rings=rings))

    async def _asked(self, channel: Channel, step: str) -> list[Person]:
        """Return the known people in the step's `mention`. Unknown people cannot be mentioned."""
        listed = channel.mention_at(step)
        if not listed:
            return []
        ids = [exact(entry.removeprefix("user:")) for entry in listed]
        known = {person.user: person for person in await self._people.with_ids(ids)}
        return [known[each] for each in ids if each in known]

    async def _deciders(self, entries: tuple[str, ...], want: Wanted) -> tuple[str, ...]:
        """Return the names of the channel's members who are listed as approvers, without the requester.

        Empty if each member may decide, or if a group is unread.
        """
        listed = listed_approvers(entries, await self._groups.read(entries))
        if not listed.entries or listed.members or listed.unread:
            return ()
        members = (await self._members(want.channel)).alike(listed.folded_names)
        found = [each for each in members if listed.has_id(each) or listed.has_name(each) or listed.in_group(each)]
        return tuple(each.shown_name for each in found if want.person is None or each.user != want.person.user)

    async def _members(self, channel: Channel) -> Members:
        try:
            return await self._people.roster(channel.conversation)
        except RosterUnavailable:  # the directory has logged why
            return Members()

    async def _named(self, record: Record, channel: Channel) -> tuple[Person, ...]:
        """Return the channel's members that the reason mentions; none if the request is not decided in this channel."""
        request, requester, route = record.request, record.requester, record.route
        if request is None or requester is None or route is None or not may_mention(request.reason):
            return ()
        if not route.settled or route.channel != channel.name:
            return ()
        members = await self._members(channel)
        return mentioned(request.reason, members, requester=requester, never=(channel.name,))
