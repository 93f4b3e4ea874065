"""Finds out who asks: reads rosters and Identity Center records. The rules are bot.domain.identity's.

What cannot be read is not known: nobody is placed by it, and the request counts as incomplete until it can.
"""

from dataclasses import dataclass, replace

from bot.domain.identity import (
    Directory,
    IdentityRules,
    Requester,
    identify_requester,
    needs_record,
    requester_names,
    spellings_of,
)
from bot.domain.request import AccessRequest
from bot.ports.aws import AwsUnavailable, Identities
from bot.ports.teams import People
from bot.service.configured import Configured


@dataclass(frozen=True, slots=True)
class Identified:
    """Who asks, and the request; incomplete where something of who asks could not be read."""

    request: AccessRequest
    requester: Requester


class Identifying:
    """Looks a requester up."""

    def __init__(self, *, people: People, identities: Identities, configured: Configured) -> None:
        self._people, self._identities, self._configured = people, identities, configured

    async def place(self, request: AccessRequest, *, earlier: Requester | None) -> Identified:
        """Say who asks, as far as that is certain now. `earlier`: what the last look found."""
        rules = self._configured.identity  # one file throughout, whatever is put in force meanwhile
        names = await self._names(request, rules)
        asked = spellings_of(*requester_names(request.requester, rules), *(names or ()))
        known = await self._people.known(asked)
        # rosters may be away; they say more if not
        remembered = (earlier.person,) if earlier and earlier.person else ()
        directory = Directory(people=(*remembered, *known), identity_center_names=names or ())
        requester = identify_requester(request.requester, rules, directory)
        if names is None:
            return Identified(replace(request, complete=False), requester.refusing_as(earlier))
        return Identified(request, requester)

    async def _names(self, request: AccessRequest, rules: IdentityRules) -> tuple[str, ...] | None:
        """Return the names of the requester's record, none where it is not asked for; None: could not be read."""
        if request.replica_of or not needs_record(request.requester, rules):
            return ()
        try:
            return await self._identities.names(request.requester)
        except AwsUnavailable:
            return None
