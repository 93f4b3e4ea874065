"""The members of a channel, indexed by everything that a card looks them up by.

A channel may have 25,000 members, and a card looks for a few of them. So names are prepared once for each read of a
roster, not once for each card. The index only finds candidates: the rules of `bot.domain.identity` still compare.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property

from bot.domain.identity import Person, Requester
from bot.text.mention_keys import mention_key
from bot.text.names import exact

_Index = dict[str, tuple[Person, ...]]


class Members:
    """People by object id. They are returned in the order of the roster, which is that of `add`."""

    def __init__(self, people: Iterable[Person] = ()) -> None:
        self._people: dict[str, Person] = {}
        self._by_name: _Index = {}  # by everything that `Requester.is_person` and `Person.is_named` compare
        self._by_key: _Index = {}  # by what mentions compare
        for person in people:
            self.add(person)

    def __iter__(self) -> Iterator[Person]:
        return iter(self._people.values())

    def __len__(self) -> int:
        return len(self._people)

    def get(self, object_id: str) -> Person | None:
        """Return the member with this object id; None if there is none."""
        return self._people.get(exact(object_id))

    def add(self, person: Person) -> None:
        """Add a member in place of one with the same object id. Only for the caller that builds it, before its use."""
        user = person.user
        if (former := self._people.get(user)) is not None:
            _remove(self._by_name, former, former.names_that_may_refuse)
            _remove(self._by_key, former, _keys(former))
        self._people[user] = person
        _add(self._by_name, person, person.names_that_may_refuse)
        _add(self._by_key, person, _keys(person))

    def with_member(self, person: Person) -> "Members":
        """Return a copy with this member in place of one with the same object id."""
        copy = Members()
        copy._people, copy._by_name, copy._by_key = dict(self._people), dict(self._by_name), dict(self._by_key)
        copy.add(person)
        return copy

    def named(self, names: Iterable[str]) -> list[Person]:
        """Return the members who could have one of these folded names."""
        wanted = frozenset(names)
        return [each for each in self.alike(wanted) if each.is_named(wanted)]

    def alike(self, names: Iterable[str]) -> list[Person]:
        """Return the members who have one of these folded names as an id or address, or before the @ of an address."""
        found = {each.user for name in names for each in self._by_name.get(name, ())}
        if not found:
            return []
        return [self._people[user] for user in sorted(found, key=self._places.__getitem__)]

    def who_may_be(self, requester: Requester | None) -> list[Person]:
        """Return the members who may be the requester, because they share an id, name or address."""
        if requester is None:
            return []
        return list(filter(requester.person_check(), self.alike(requester.own_names)))

    def called(self, key: str) -> tuple[Person, ...]:
        """Return the members whose name, UPN or mail address has this key of `mention_key`."""
        return self._by_key.get(key, ())

    @cached_property
    def _places(self) -> dict[str, int]:
        return {user: number for number, user in enumerate(self._people)}

    @cached_property
    def longest_key(self) -> int:
        """The length of the longest key that `called` knows; 0 without members."""
        return max(map(len, self._by_key), default=0)

    @cached_property
    def by_object_id(self) -> tuple[Person, ...]:
        """The members in the order of their object ids."""
        return tuple(self._people[user] for user in sorted(self._people))


def _keys(person: Person) -> frozenset[str]:
    return frozenset({mention_key(name) for name in (person.name, person.upn, person.mail) if name} - {""})


def _add(index: _Index, person: Person, names: frozenset[str]) -> None:
    for name in names:
        index[name] = (*index.get(name, ()), person)


def _remove(index: _Index, person: Person, names: frozenset[str]) -> None:
    for name in names:
        if left := tuple(each for each in index[name] if each is not person):
            index[name] = left
        else:
            del index[name]
