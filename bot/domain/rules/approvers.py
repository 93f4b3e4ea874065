"""The entries of `approvers` in node-access.toml, resolved: the one place that says who is listed.

An entry is `members` (everyone in the channel), `user:<object id>`, `upn:<name>`, or `group:<object id>`: the members
of the channel who are also in a Microsoft Entra group. bot.domain.rules.permission has the rules on what they may do.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from itertools import chain
from typing import Final

from bot.domain.identity import Person
from bot.domain.routing import GROUP, MEMBERS
from bot.text.names import as_typed, exact, folded

LISTS_KEPT: Final = 256  # lists of approvers; each check of a person needs that of its channel


class Unread(IntEnum):
    """Why the members of a group are unknown. The greater one says more about a list with several such groups."""

    REFUSED = 1  # somebody has to change something
    FOR_NOW = 2  # a later read may succeed


GroupMembers = Mapping[str, frozenset[str] | Unread]
"""The object ids of each group's members, or why they are unknown, by the group's id. All ids are in the form for
comparisons. A group that is absent was not read."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The people in a list of approvers. `unread` is None if the members of all its groups are known."""

    entries: frozenset[str]
    groups: tuple[frozenset[str], ...] = ()  # the object ids in each group whose members are known
    unread: Unread | None = None

    @property
    def members(self) -> bool:
        """True if each member of the channel is listed."""
        return MEMBERS in self.entries

    @property
    def by_name(self) -> bool:
        """True if somebody is listed by UPN."""
        return any(each.startswith("upn:") for each in self.entries)

    @property
    def by_group(self) -> bool:
        """True if a group is listed."""
        return bool(self.groups) or self.unread is not None

    @property
    def folded_names(self) -> frozenset[str]:
        """Every id and UPN in the list, folded, with the ids of its groups' members. `members` is no name."""
        single = (each.partition(":")[2] for each in self.entries if each.startswith(("user:", "upn:")))
        return folded((*single, *chain.from_iterable(self.groups)))

    def has_id(self, person: Person) -> bool:
        """True if the person is listed by object id."""
        return f"user:{person.user}" in self.entries

    def has_name(self, person: Person) -> bool:
        """True if the person is listed by UPN."""
        return bool(person.upn) and f"upn:{exact(person.upn or '')}" in self.entries

    def in_group(self, person: Person) -> bool:
        """True if the person is in a listed group whose members are known. Counts for members of the channel only."""
        return any(person.user in each for each in self.groups)


def listed_approvers(approvers: Collection[str], groups: GroupMembers) -> Listed:
    """Return the people that entries of `approvers` list. `groups` has the members of those groups that were read."""
    entries = entries_of(approvers)
    found = [groups.get(each, Unread.FOR_NOW) for each in groups_in(approvers)]
    return Listed(
        entries,
        groups=tuple(each for each in found if not isinstance(each, Unread)),
        unread=max((each for each in found if isinstance(each, Unread)), default=None),
    )


def entries_of(approvers: Iterable[str]) -> frozenset[str]:
    """Return the entries of `approvers` in the form in which they are compared."""
    return _entries(tuple(approvers))


def groups_in(approvers: Iterable[str]) -> tuple[str, ...]:
    """Return the ids of the groups in entries of `approvers`, in the form for comparisons, each once."""
    return _groups(tuple(approvers))


@lru_cache(LISTS_KEPT)
def _entries(approvers: tuple[str, ...]) -> frozenset[str]:
    return frozenset(exact(as_typed(each)) for each in approvers)


@lru_cache(LISTS_KEPT)
def _groups(approvers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(each.removeprefix(GROUP) for each in _entries(approvers) if each.startswith(GROUP)))
