"""Under which subjects the stores list a request, so that past requests are found without reading all rows. Pure.

An entry only leads to a row; the row is the truth. Readers check that the row still has the entry, and whether the
person who asks may see it. Subjects are stored: their form must not change.

| subject | lists the requests |
| --- | --- |
| `place:<conversation>` | with a card in this conversation |
| `who:<spelling>` | of an identified requester, by object id; if no Teams user is known, by each known spelling |
| `term:<text>` | with this node id or name, or this name, address or session name of the requester |
| `visit:<object id>@<account>/<region>/<node id>` | of an identified Teams user for this node |
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from bot.domain.identity import Person
from bot.domain.record import Record, Visits
from bot.domain.request import AccessRequest, RequestKey, Status
from bot.domain.routing import thread_root
from bot.text.names import fold

LONGEST_TERM: Final = 200  # characters; a longer text is cut, in the index and in a search
MOST_NODES: Final = 8  # nodes of one request that are listed; each has up to three entries
_TERM: Final = "term:"
_GRANTED: Final = frozenset({Status.APPROVED, Status.REVOKED})


@dataclass(frozen=True, slots=True, order=True)
class HistoryEntry:
    """A request in the list of a subject. `at` is when it was made, `granted` whether access was granted."""

    subject: str
    at: datetime
    key: RequestKey
    granted: bool = False


def history_entries(record: Record) -> tuple[HistoryEntry, ...]:
    """Return the entries of a row, sorted; () for a row without facts, and for a replica of another request."""
    request = record.request
    if request is None or request.replica_of:
        return ()
    at, granted = request.requested_at or record.created_at, request.status in _GRANTED
    return tuple(HistoryEntry(subject, at, record.key, granted) for subject in sorted(set(_subjects(record, request))))


def visits(entries: Iterable[HistoryEntry], key: RequestKey, *, since: datetime, now: datetime) -> Visits | None:
    """Return how often access was granted, from the entries of `visit_subject`, without the request `key`.

    None if it never was. `since` is the start of the span that the entries cover.
    """
    granted = [each.at for each in entries if each.granted and each.key != key and each.at >= since]
    if not granted:
        return None
    return Visits(len(granted), max(granted), max(1, round((now - since) / timedelta(days=1))))


def is_listed(record: Record, entry: HistoryEntry) -> bool:
    """True if the row still belongs in the list where this entry was found."""
    return any((each.subject, each.at) == (entry.subject, entry.at) for each in history_entries(record))


def place_subject(conversation: str) -> str:
    """Return the subject of the requests with a card in a conversation or a thread in it."""
    return f"place:{thread_root(conversation)}"


def own_subjects(person: Person) -> tuple[str, ...]:
    """Return the subjects under which a person's own requests may be listed."""
    spellings = {person.user, *person.identifying_spellings}
    return tuple(_who(each) for each in sorted(spellings) if each)


def term_subject(text: str) -> str:
    """Return the subject of the requests for a node or of a person, by a text that a person typed."""
    return f"{_TERM}{fold(text)[:LONGEST_TERM]}"


def visit_subject(person: Person, key: RequestKey, node_id: str) -> str:
    """Return the subject of a person's requests for one node."""
    return f"visit:{person.user}@{key.account}/{key.region}/{node_id}"


def _who(spelling: str) -> str:
    return f"who:{spelling[:LONGEST_TERM]}"


def _subjects(record: Record, request: AccessRequest) -> Iterator[str]:
    yield from (place_subject(card.conversation) for card in record.cards if card.conversation)
    yield from (subject for each in _terms(record, request) if (subject := term_subject(each)) != _TERM)
    requester = record.requester
    if requester is None or not requester.identified:
        return
    if requester.person is None:
        yield from map(_who, requester.spellings)
        return
    yield _who(requester.person.user)
    for node in request.targets[:MOST_NODES]:
        yield visit_subject(requester.person, record.key, node.id)


def _terms(record: Record, request: AccessRequest) -> Iterator[str]:
    for node in request.targets[:MOST_NODES]:
        yield from filter(None, (node.id, node.name))
    requester = record.requester
    if requester is None:
        return
    yield from (requester.name, *requester.principal.own_names[1:])
    if person := requester.person:
        yield from (person.name, person.object_id)
        for address in filter(None, (person.upn, person.mail)):
            yield from (address, address.partition("@")[0])
