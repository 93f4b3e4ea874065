"""Reads the table: consistent reads of items, and lists by index or partition. Never scans the table.

An index lags behind its table, usually by less than a second. It is therefore used only to find rows: each listed row
is read again consistently, and dropped if it no longer qualifies. Rows that the index does not list yet are found by a
later call, or at once if the caller passes them as `recent`.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.ReadConsistency.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any

from bot.domain.audit import AuditEntry
from bot.domain.history import HistoryEntry
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import PersonalChat, Replica, RowUnreadable, Wanted, Watched
from bot.store.dynamodb import items
from bot.store.dynamodb.calls import Answer, Calls, Patience, part
from bot.store.rows import watched_rows

MOST_AT_ONCE = 100  # items of one BatchGetItem
KEYS_AT_ONCE = 500  # entries of the index `watched` in one query; parsing more would take too long in one piece
LAST_MOMENT = "~"  # every time sorts before it
Start = Mapping[str, object]  # where a page of a query starts; empty: at the beginning
ENTRIES_TRIED = 8  # entries of the index `due` that are tried for the next due time; some may be outdated
_Found = Mapping[str, Any]


class Reading:
    """Reads the table within the given patience. Every method may raise DynamoError or RowUnreadable."""

    def __init__(self, calls: Calls, patience: Patience) -> None:
        self._calls, self._patience = calls, patience

    def item(self, key: items.Item) -> _Found | None:
        """Return an item, as last written by any process; None if there is none."""
        found: _Found | None = self._calls.repeated(self._patience, "get_item", Key=key, ConsistentRead=True).get(
            "Item"
        )
        return found

    def due(self, now: datetime, limit: int, recent: Iterable[RequestKey]) -> list[RequestKey]:
        """Return the keys of due rows, longest due first; `recent` are rows that the index may not list yet."""
        listed = islice(
            self._pages(**_by_index(items.DUE, items.DUE_AT, before=items.due_until(now), limit=limit)), limit
        )
        found = self._due_times({items.request_of(entry) for entry in listed}.union(recent))
        return [request for moment, _, request in found if moment <= now][:limit]

    def next_due(self, recent: Iterable[RequestKey]) -> datetime | None:
        """Return the earliest due time of all rows; None if no row has one, or if all tried entries are outdated."""
        listed = islice(self._pages(**_by_index(items.DUE, items.DUE_AT, limit=ENTRIES_TRIED)), ENTRIES_TRIED)
        found = self._due_times({items.request_of(entry) for entry in listed}.union(recent))
        return found[0][0] if found else None

    def watched_keys(self, *, start: Start) -> tuple[list[RequestKey], Start | None]:
        """Return keys of watched rows, oldest first, and the start of the next page; None if there is none."""
        query = _by_index(items.WATCHED, items.BORN_AT, limit=KEYS_AT_ONCE)
        answer = self._calls.repeated(self._patience, "query", **query, **start)
        keys = [items.request_of(entry) for entry in part(answer, "Items")]
        return keys, _start_after(answer)

    def watched(self, *, keys: Iterable[RequestKey], wanted: Wanted) -> Watched:
        """Return those of the rows that are still watched, and wanted, oldest first."""
        found = self._items(map(items.row_key, keys))
        read = ((items.request_of(item), partial(items.listed_row, item)) for item in found)
        return watched_rows(read, wanted=wanted)

    def unchanged(self, *, keys: Iterable[RequestKey], known: Mapping[RequestKey, int]) -> tuple[RequestKey, ...]:
        """Return those of the rows that have the version in `known`. Only the versions are read."""
        found = self._items(map(items.row_key, keys), **_only("pk", "sk", "version"))
        versions = ((items.request_of(item), items.version(item)) for item in found)
        return tuple(sorted(key for key, version in versions if known.get(key) == version))

    def find(self, ops_item_id: str) -> list[Record]:
        """Return the rows of an OpsItem id."""
        return [items.row(item) for item in self._partition(items.row_partition(ops_item_id))]

    def rows(self, keys: Iterable[RequestKey]) -> list[Record]:
        """Return those of the rows that exist and can be read."""
        found: list[Record] = []
        for item in self._items(map(items.row_key, keys)):
            with suppress(RowUnreadable):
                found.append(items.listed_row(item))
        return found

    def history(self, subject: str, since: datetime, limit: int) -> list[HistoryEntry]:
        """Return the entries of a subject from `since` on, newest first, at most `limit`."""
        pages = self._partition(
            items.history_partition(subject), since=items.sortable(since), ScanIndexForward=False, Limit=limit
        )
        return [items.history_entry(subject, item) for item in islice(pages, limit)]

    def personal_chats(self) -> list[PersonalChat]:
        """Return all personal chats."""
        return [items.chat_of(item) for item in self._partition(items.PEOPLE)]

    def replicas(self, since: datetime) -> list[Replica]:
        """Return the processes that registered at or after `since`, sorted by owner."""
        found = map(items.replica_of, self._partition(items.REPLICAS))
        return [each for each in found if each.seen_at >= since]

    def audit(self, since: datetime, until: datetime | None) -> list[AuditEntry]:
        """Return audit entries from `since` on, before `until` if given, day by day."""
        days = [items.member(day, "sk") for day in self._partition(items.AUDIT_DAYS, since=items.day_of(since))]
        wanted = [day for day in days if until is None or day <= items.day_of(until)]
        found = (self._partition(items.audit_partition(day), since=items.sortable(since)) for day in wanted)
        entries = (items.audit_entry(item) for day in found for item in day)
        return [entry for entry in entries if until is None or entry.at < until]

    # --- pages

    def _partition(self, pk: str, *, since: str = " ", **order: object) -> Iterator[_Found]:
        """Yield the items of a partition from a sort key on; every sort key sorts after a space.

        `order` has further parameters of the query.
        """
        return self._pages(
            ConsistentRead=True,
            KeyConditionExpression="#pk = :pk AND #sk >= :sk",
            ExpressionAttributeNames={"#pk": "pk", "#sk": "sk"},
            ExpressionAttributeValues={":pk": items.text(pk), ":sk": items.text(since)},
            **order,
        )

    def _pages(self, **query: object) -> Iterator[_Found]:
        """Yield the results of a query; DynamoDB returns 1 MB a page."""
        start: Start | None = {}
        while start is not None:
            answer = self._calls.repeated(self._patience, "query", **query, **start)
            yield from part(answer, "Items")
            start = _start_after(answer)

    def _due_times(self, requests: Iterable[RequestKey]) -> list[tuple[datetime, str, RequestKey]]:
        """Return due time, sort key and key of each row that has a due time, read consistently, earliest first."""
        read = self._items(map(items.row_key, requests), **_only("pk", "sk", items.DUE_AT))
        found = ((items.due_at(item), item) for item in read)
        due = ((moment, items.request_of(item)) for moment, item in found if moment)
        return sorted((moment, str(request), request) for moment, request in due)

    def _items(self, keys: Iterable[items.Item], **members: object) -> Iterator[_Found]:
        """Yield the items that exist, read consistently, in any order."""
        remaining = iter(keys)
        while some := list(islice(remaining, MOST_AT_ONCE)):
            yield from self._some_items(some, members)

    def _some_items(self, keys: Sequence[items.Item], members: Mapping[str, object]) -> Iterator[_Found]:
        while keys:
            answer = self._calls.repeated_batch(self._patience, {"Keys": keys, "ConsistentRead": True, **members})
            yield from part(answer, "Responses").get(self._calls.table, ())
            keys = _unprocessed(answer, self._calls.table)


def _by_index(index: str, moment: str, *, before: str = LAST_MOMENT, limit: int | None = None) -> Mapping[str, object]:
    """Return the query for the entries of an index in order of time."""
    most = {} if limit is None else {"Limit": limit}
    return {
        "IndexName": index,
        "KeyConditionExpression": "#all = :all AND #moment < :before",
        "ExpressionAttributeNames": {"#all": index, "#moment": moment},
        "ExpressionAttributeValues": {":all": items.text(index), ":before": items.text(before)},
        **most,
    }


def _only(*names: str) -> Mapping[str, object]:
    """Return the parameters with which DynamoDB returns only these attributes of an item."""
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in names),
        "ExpressionAttributeNames": {f"#{name}": name for name in names},
    }


def _start_after(answer: Answer) -> Start | None:
    """Return where the next page of a query starts; None after the last one."""
    last = answer.get("LastEvaluatedKey")
    return {"ExclusiveStartKey": last} if last else None


def _unprocessed(answer: Answer, table: str) -> Sequence[items.Item]:
    """Return the keys that the answer left out: beyond 16 MB, or beyond the table's throughput."""
    keys: Sequence[items.Item] = answer.get("UnprocessedKeys", {}).get(table, {}).get("Keys", ())
    return keys
