"""Identifies the requester from rosters and Identity Center records. The rules are in bot.domain.identity.

While a record cannot be read, it identifies no one, and the request counts as incomplete.
"""

from dataclasses import dataclass, replace

from bot.domain.identity import (
    Directory,
    IdentityRules,
    Requester,
    identify_requester,
    names_to_look_up,
    needs_record,
)
from bot.domain.request import AccessRequest
from bot.ports.aws import AwsUnavailable, Identities
from bot.ports.teams import People
from bot.service.current_configuration import CurrentConfiguration


@dataclass(frozen=True, slots=True)
class Identified:
    """The requester, and the request. The request is incomplete if a record of the requester could not be read."""

    request: AccessRequest
    requester: Requester


class Identifying:
    """Identifies requesters."""

    def __init__(self, *, people: People, identities: Identities, configuration: CurrentConfiguration) -> None:
        self._people, self._identities, self._configuration = people, identities, configuration

    async def identify(self, request: AccessRequest, *, earlier: Requester | None) -> Identified:
        """Identify the requester from the current rosters and records.

        `earlier` is the result of the last reconcile.
        """
        rules = self._configuration.value.identity  # use the same rules to the end, even if the file changes
        names = await self._names(request, rules)
        known = await self._people.known(names_to_look_up(request.requester, rules, names or ()))
        # keeps the requester identified while rosters cannot be read
        remembered = (earlier.person,) if earlier and earlier.person else ()
        directory = Directory((*remembered, *known.people), names or (), complete=known.complete)
        requester = identify_requester(request.requester, rules, directory)
        if names is None:
            return Identified(replace(request, complete=False), requester.refusing_as(earlier))
        return Identified(request, requester)

    async def _names(self, request: AccessRequest, rules: IdentityRules) -> tuple[str, ...] | None:
        """Return the names in the requester's Identity Center record; empty if it is not needed, None if unreadable."""
        if request.replica_of or not needs_record(request.requester, rules):
            return ()
        try:
            return await self._identities.names(request.requester)
        except AwsUnavailable:
            return None
