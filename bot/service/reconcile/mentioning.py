"""Names people on a waiting card: those whom the channel's entry asks to decide, and those whom the reason mentions.

Owns which rosters are asked, and when a phone rings. Who is meant is decided in bot.domain.shown.mentions.
"""

from dataclasses import replace

from bot.domain.identity import Person
from bot.domain.record import Record
from bot.domain.routing import Channel
from bot.domain.shown.card import with_mentions
from bot.domain.shown.mentions import mentioned, names_anybody
from bot.domain.shown.surfaces import Wanted
from bot.domain.shown.views import Banner, CardView
from bot.ports.teams import People, RosterUnavailable


class Mentioning:
    """Completes cards. A roster that is away keeps none back: it is shown without, and its next change names them.

    The people named are no part of a card's digest: that somebody joined or was renamed updates nothing.
    """

    def __init__(self, people: People) -> None:
        self._people = people

    async def on_post(self, record: Record, want: Wanted) -> Wanted:
        """Return the card with mentions that ring."""
        return await self._completed(record, want, rings=True)

    async def on_update(self, record: Record, want: Wanted) -> Wanted:
        """Return the card with the names alone.

        Unverified: whether Teams tells people again whom an update mentions.
        """
        return await self._completed(record, want, rings=False)

    async def _completed(self, record: Record, want: Wanted, *, rings: bool) -> Wanted:
        if not isinstance(want.view, CardView) or want.view.banner is not Banner.WAITING:
            return want
        asked = await self._asked(want.channel)
        named = await self._named(record, want.channel)
        return replace(want, view=with_mentions(want.view, asked, named, rings=rings))

    async def _asked(self, channel: Channel) -> list[Person]:
        """Return whom the channel's entry names; who is in no roster cannot be mentioned."""
        if not channel.mention:
            return []
        known = {person.object_id.casefold(): person for person in await self._people.known()}
        ids = [entry.removeprefix("user:").casefold() for entry in channel.mention]
        return [known[each] for each in ids if each in known]

    async def _named(self, record: Record, channel: Channel) -> tuple[Person, ...]:
        """Return whom the reason names, on the card of the channel in which the request is decided."""
        request, requester, route = record.request, record.requester, record.route
        if request is None or requester is None or route is None or not names_anybody(request.reason):
            return ()
        if not route.settled or route.channel != channel.name:
            return ()
        try:
            members = await self._people.roster(channel.conversation)
        except RosterUnavailable:  # whoever reads it has logged why
            return ()
        return mentioned(request.reason, members, requester=requester, never=(channel.name,))
