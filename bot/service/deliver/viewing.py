"""Names a card's viewers: the people who get their own view of it from Teams.

Viewers are not part of a card's digest: a person who joins or leaves causes no update. The next post or update has the
viewers of that moment.
"""

from dataclasses import replace

from bot.domain.record import Record
from bot.domain.rules.approvers import listed_approvers
from bot.domain.shown.viewers import viewers
from bot.domain.shown.views import CardView
from bot.domain.shown.wanted import Wanted
from bot.ports.teams import People
from bot.service.approver_groups import ApproverGroups
from bot.service.current_configuration import CurrentConfiguration


class Viewing:
    """Adds the viewers to cards, from the cached roster and groups only: a card never waits for them."""

    def __init__(self, people: People, groups: ApproverGroups, configuration: CurrentConfiguration) -> None:
        self._people, self._groups, self._configuration = people, groups, configuration

    async def on_card(self, record: Record, want: Wanted) -> Wanted:
        """Return a card with its viewers; none without a current roster. Anything else is returned unchanged."""
        if not isinstance(want.view, CardView):
            return want
        members = self._people.cached_roster(want.channel.conversation)
        entries, tenant_id = want.channel.approvers_at(want.view.step), self._configuration.tenant_id
        listed = listed_approvers(entries, self._groups.cached(entries))
        approvers = await self._groups.among(members, listed, tenant_id=tenant_id)
        found = viewers(members, requester=record.requester, approvers=approvers)
        return replace(want, view=replace(want.view, viewers=found))
