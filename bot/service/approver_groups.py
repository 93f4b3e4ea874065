"""Reads the Microsoft Entra groups of approvers, for all services that ask who is in a list of approvers.

Without a group in the list, nothing is read.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final
from weakref import WeakKeyDictionary

from bot.concurrency.turns import in_turns
from bot.domain.identity import Person
from bot.domain.members import Members
from bot.domain.rules.approvers import GroupMembers, Listed, Unread, groups_in
from bot.domain.rules.permission import may_be_approver
from bot.ports.teams import GroupProblem, Groups, GroupUnavailable

_PASSING: Final = frozenset({GroupProblem.UNAVAILABLE})


class ApproverGroups:
    """The members of the groups in lists of approvers."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._among: WeakKeyDictionary[Members, dict[tuple[Listed, str], Mapping[str, Person]]] = WeakKeyDictionary()

    async def read(self, approvers: Iterable[str]) -> GroupMembers:
        """Return the members of the groups in these entries, as of a minute ago at most, or why they are unknown."""
        ids = groups_in(approvers)
        return dict(zip(ids, await asyncio.gather(*map(self._read, ids)), strict=True))

    def cached(self, approvers: Iterable[str]) -> GroupMembers:
        """Return the members that were read within the last minute. Makes no call: a group may be absent."""
        known = {each: self._groups.cached_members(each) for each in groups_in(approvers)}
        return {each: members for each, members in known.items() if members is not None}

    async def among(self, members: Members, listed: Listed, *, tenant_id: str) -> Mapping[str, Person]:
        """Return the members who may be approvers, by object id and in its order, the requester perhaps included.

        They are the same for all cards, and found once for each read of the roster and of the groups.
        """
        known = self._among.setdefault(members, {})
        if (listed, tenant_id) not in known:
            known[listed, tenant_id] = {
                each.user: each
                async for each in in_turns(members.by_object_id)
                if may_be_approver(each, listed, requester=None, tenant_id=tenant_id)
            }
        return known[listed, tenant_id]

    async def _read(self, group: str) -> frozenset[str] | Unread:
        try:
            return await self._groups.members(group)
        except GroupUnavailable as unavailable:  # the adapter has logged why
            return Unread.FOR_NOW if unavailable.problem in _PASSING else Unread.REFUSED
