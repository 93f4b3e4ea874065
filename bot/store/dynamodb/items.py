"""The items of the table: keys, and the conversion of rows, chats and audit entries. Makes no calls.

| pk                      | sk                        | holds                                                          |
| ----------------------- | ------------------------- | -------------------------------------------------------------- |
| `request#oi-…`          | `account/region/oi-…`     | a row: `record` (JSON), `version`, `writes`, index attributes  |
| `history#<subject>`     | time, `account/region/oi` | a request in the list of a subject (bot.domain.history)        |
| `people`                | `person#<object id>`      | where a person can be reached                                  |
| `service-url#<id>`      | `service-url`             | where a conversation's messages go                             |
| `team-group#<id>`       | `team-group`              | the Microsoft Entra group of a channel's team                  |
| `place#account/region`  | `watermark`, `sweep`      | how far the sweep got; the lease for sweeping                  |
| `replicas`              | the process's id          | what a running process knows, and when it registered           |
| `digest#<id>`           | ISO week                  | the post of a channel's weekly digest                          |
| `audit`                 | `2026-04-01`              | that this day has audit entries                                |
| `audit#2026-04-01`      | time, order of writing    | one entry of the audit trail                                   |
| `schema`                | `schema`                  | the version of this schema                                     |
| `schema`                | `history`                 | since when all requests are listed                             |

Two sparse indexes, keys only: `due` has the rows that are to be reconciled, by due time; `watched` has the rows whose
requests AWS may still change, by creation time. Items without these attributes are in no index, and writes that do not
change them cost the indexes nothing. Each index is one partition, which takes 1,000 writes a second. A row changes its
due time some tens of times, so that is enough for about ten new requests a second; AWS allows only three calls a
second. Rows, conversations and places have separate partitions; the audit trail has one per day. People share one
partition, because all of them are read together; each is written when they install the bot or write to it.

The history needs no index: its entries are items of their own, so that a table of an earlier version has them, too.
They are written before their row. The row's attribute `history` marks which ones it has; a write with another mark
writes all of them again. Readers skip an entry without a row, and one that its row no longer has. An earlier version
that writes the row drops the attribute, so the next write of this version lists the row again.

Times are UTC text of one length, so that they sort as text.
"""

import hashlib
import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import HistoryEntry
from bot.domain.record import Record
from bot.domain.request import InvalidRequestKey, RequestKey
from bot.domain.storable import storable
from bot.ports.store import DIGEST_KEPT, PersonalChat, Replica, RowUnreadable, StoreUnavailable
from bot.store.rows import (
    AUDIT_ENTRY,
    AUDIT_KEPT,
    DIGEST_POST,
    PERSONAL_CHAT,
    REPLICA_KEPT,
    decode,
    decode_listed_row,
    decode_row,
    encode,
    encode_over,
    encode_row,
)

Item = dict[str, dict[str, Any]]  # attribute -> {type: value}, as boto3 reads and writes it

PEOPLE, AUDIT_DAYS, REPLICAS = "people", "audit", "replicas"
DUE, DUE_AT = "due", "due_at"
WATCHED, BORN_AT = "watched", "born_at"
EXPIRES_AT = "expires_at"  # whole seconds since 1970, as DynamoDB's time to live requires
# Bytes of a row. DynamoDB accepts items of 400 KB (409,600 bytes); the rest is for the names of writes.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MOST_BYTES = 400_000
HISTORY_KEPT = timedelta(days=400)  # longer than a row after its end, so that no list lacks a row that is there
WRITES_KEPT = 32  # names of the latest writes: a lost write is recognized even below later ones
# The condition of a write that must not replace an item.
IF_ABSENT: Final[Mapping[str, Any]] = {
    "ConditionExpression": "attribute_not_exists(#pk)",
    "ExpressionAttributeNames": {"#pk": "pk"},
}


class RowTooLarge(StoreUnavailable):
    """A row does not fit into an item, or its audit entries into a transaction; it was not written."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored row: the record, or None if there is none, and the names of its latest writes."""

    record: Record | None
    writes: tuple[str, ...]
    history: str = ""  # the mark of its entries in the history

    def remembers(self, version: int) -> bool:
        """Return True if the name of a write that made this version would still be listed."""
        return len(self.writes) < WRITES_KEPT or int(self.writes[0].partition(":")[0]) <= version


def write_name(version: int) -> str:
    """Return a unique name for the write that makes a version."""
    return f"{version}:{secrets.token_hex(6)}"


def text(value: str) -> dict[str, Any]:
    """Return a text as an attribute's value."""
    return {"S": value}


def number(value: int) -> dict[str, Any]:
    """Return a whole number as an attribute's value."""
    return {"N": str(value)}


def key(pk: str, sk: str) -> Item:
    """Return a key of the table."""
    return {"pk": text(pk), "sk": text(sk)}


def sortable(when: datetime) -> str:
    """Return a time as sortable text, to the microsecond."""
    return storable(when).isoformat(timespec="microseconds")


def moment(item: Mapping[str, Any], name: str) -> datetime:
    """Return the time at the start of an attribute; a `#` may follow it. Raises RowUnreadable."""
    value = member(item, name).partition("#")[0]
    try:
        return datetime.fromisoformat(value).astimezone(UTC)
    except ValueError as error:
        raise _unreadable(item, f"{name} is not a time") from error


# --- rows


def row_partition(ops_item_id: str) -> str:
    """Return the partition of an OpsItem id: one row for each account and Region that has it."""
    return f"request#{storable(ops_item_id)}"


def row_key(request: RequestKey) -> Item:
    """Return the key of a request's row."""
    return key(row_partition(request.ops_item_id), str(request))


def request_of(item: Mapping[str, Any]) -> RequestKey:
    """Return the key of the request of a row's item or index entry. Raises RowUnreadable."""
    try:
        return RequestKey.parse(member(item, "sk"))
    except InvalidRequestKey as error:
        raise _unreadable(item, "sk names no request") from error


def row_item(record: Record, writes: Iterable[str], *, history: str = "") -> Item:
    """Return a row as an item, with the mark of its entries in the history. Raises RowTooLarge."""
    item = {
        **row_key(record.key),
        "version": number(record.version),
        "record": text(encode_row(record)),
        **_index_attributes(record),
    }
    if (size := size_of(item)) > MOST_BYTES:
        raise RowTooLarge(f"request {record.key} does not fit into a DynamoDB item: {size} bytes of {MOST_BYTES}")
    marked = {"history": text(history)} if history else {}
    return {**item, **marked, "writes": text(" ".join([*writes][-WRITES_KEPT:]))}


def _index_attributes(record: Record) -> Item:
    """Return the attributes that list a row in indexes and let it expire."""
    found: Item = {}
    if record.requeue_at is not None:
        found |= {DUE: text(DUE), DUE_AT: text(f"{sortable(record.requeue_at)}#{record.key}")}
    if record.watched:
        found |= {WATCHED: text(WATCHED), BORN_AT: text(f"{sortable(record.created_at)}#{record.key}")}
    if record.expires_at is not None:
        found |= {EXPIRES_AT: number(math.ceil(record.expires_at.timestamp()))}
    return found


def size_of(item: Item) -> int:
    """Return the size in bytes of an item of texts and numbers; each digit of a number counts as one byte."""
    return sum(len(name) + len(each.encode()) for name, value in item.items() for each in value.values())


def stored(item: Mapping[str, Any] | None) -> Stored:
    """Return the row of an item, without a record if there is no item. Raises RowUnreadable."""
    if item is None:
        return Stored(None, ())
    mark = member(item, "history") if "history" in item else ""
    return Stored(row(item), tuple(member(item, "writes").split()), mark)


def row(item: Mapping[str, Any]) -> Record:
    """Return the record of a row's item. Raises RowUnreadable."""
    return decode_row(member(item, "sk"), member(item, "record"))


def listed_row(item: Mapping[str, Any]) -> Record:
    """Return the record of an item of a long list. Raises RowUnreadable."""
    return decode_listed_row(member(item, "sk"), member(item, "record"))


def version(item: Mapping[str, Any]) -> int | None:
    """Return the version of a row's item; None if it has none."""
    found = item.get("version", _ABSENT).get("N")
    return int(found) if found else None


def due_at(item: Mapping[str, Any]) -> datetime | None:
    """Return the due time of a row, from its item or from an entry of the index `due`; None if it has none."""
    return moment(item, DUE_AT) if DUE_AT in item else None


def due_until(when: datetime) -> str:
    """Return the upper bound of entries that are due at a time; `$` sorts after the `#` in every entry."""
    return f"{sortable(when)}$"


# --- the history


def history_mark(entries: Iterable[HistoryEntry]) -> str:
    """Return a mark that tells these entries from others; "" for none."""
    lines = [f"{each.subject} {sortable(each.at)} {each.granted}" for each in entries]
    return hashlib.sha256("\n".join(lines).encode(errors="replace")).hexdigest()[:16] if lines else ""


def history_partition(subject: str) -> str:
    """Return the partition of the list of a subject."""
    return f"history#{storable(subject)}"


def history_item(entry: HistoryEntry) -> Item:
    """Return an entry of the history as an item."""
    return {
        **key(history_partition(entry.subject), f"{sortable(entry.at)}#{entry.key}"),
        "granted": number(int(entry.granted)),
        EXPIRES_AT: number(math.ceil((entry.at + HISTORY_KEPT).timestamp())),
    }


def history_entry(subject: str, item: Mapping[str, Any]) -> HistoryEntry:
    """Return the entry in an item. Raises RowUnreadable."""
    try:
        request = RequestKey.parse(member(item, "sk").partition("#")[2])
    except InvalidRequestKey as error:
        raise _unreadable(item, "sk names no request") from error
    granted = item.get("granted", _ABSENT).get("N") == "1"
    return HistoryEntry(subject, moment(item, "sk"), request, granted=granted)


# --- people, places and the audit trail


def chat_key(object_id: str) -> Item:
    """Return the key of a person's chat; Microsoft writes ids in lower or upper case."""
    return key(PEOPLE, f"person#{storable(object_id).casefold()}")


def chat_over(chat: PersonalChat, former: Mapping[str, Any] | None) -> dict[str, object]:
    """Return the write of a chat that replaces the item `former`, on the condition that it is unchanged.

    Raises RowUnreadable.
    """
    earlier = member(former, "chat") if former else None
    item = {**chat_key(chat.person.object_id), "chat": text(encode_over(PERSONAL_CHAT, chat, earlier))}
    names = {"ExpressionAttributeNames": {"#chat": "chat"}}
    if earlier is None:
        return {"Item": item, "ConditionExpression": "attribute_not_exists(#chat)", **names}
    values = {":chat": text(earlier)}
    return {"Item": item, "ConditionExpression": "#chat = :chat", "ExpressionAttributeValues": values, **names}


def chat_of(item: Mapping[str, Any]) -> PersonalChat:
    """Return the personal chat in an item. Raises RowUnreadable."""
    return decode(PERSONAL_CHAT, member(item, "chat"), where=f"personal chat {member(item, 'sk')}")


def service_url_key(conversation: str) -> Item:
    """Return the key of a conversation's service URL."""
    return key(f"service-url#{storable(conversation)}", "service-url")


def team_group_key(conversation: str) -> Item:
    """Return the key of the group of a channel's team."""
    return key(f"team-group#{storable(conversation)}", "team-group")


def place_key(account: str, region: str, what: str) -> Item:
    """Return the key of the `watermark` or the `sweep` lease of an account and Region."""
    return key(f"place#{account}/{region}", what)


def replica_item(replica: Replica) -> Item:
    """Return the entry of a running process as an item."""
    return {
        **key(REPLICAS, storable(replica.owner)),
        "knows": text(" ".join(sorted(replica.knows))),
        "seen_at": text(sortable(replica.seen_at)),
        EXPIRES_AT: number(math.ceil((replica.seen_at + REPLICA_KEPT).timestamp())),
    }


def replica_of(item: Mapping[str, Any]) -> Replica:
    """Return the entry of a running process. Raises RowUnreadable."""
    return Replica(member(item, "sk"), frozenset(member(item, "knows").split()), moment(item, "seen_at"))


def digest_key(name: str) -> Item:
    """Return the key of the post of a weekly digest."""
    week, _, conversation = name.partition("#")
    return key(f"digest#{storable(conversation)}", week)


def next_digest_post(post: DigestPost) -> dict[str, object]:
    """Return the write of a post, on the condition that the item has the version before. It may be repeated."""
    stored_as = text(encode(DIGEST_POST, post))
    item = {
        **digest_key(post.name),
        "version": number(post.version),
        "post": stored_as,
        EXPIRES_AT: number(math.ceil((post.due_at + DIGEST_KEPT).timestamp())),
    }
    return {
        "Item": item,
        "ConditionExpression": "attribute_not_exists(#pk) OR #version = :before OR #post = :post",
        "ExpressionAttributeNames": {"#pk": "pk", "#version": "version", "#post": "post"},
        "ExpressionAttributeValues": {":before": number(post.version - 1), ":post": stored_as},
    }


def digest_post_of(item: Mapping[str, Any]) -> DigestPost:
    """Return the post in an item. Raises RowUnreadable."""
    return decode(DIGEST_POST, member(item, "post"), where=f"digest {member(item, 'pk')} {member(item, 'sk')}")


def audit_partition(day: str) -> str:
    """Return the partition of a day's entries."""
    return f"audit#{day}"


def audit_item(entry: AuditEntry, order: int) -> Item:
    """Return an entry as an item; `order` sorts entries of the same time."""
    kept = storable(entry)
    return {
        **key(audit_partition(day_of(kept.at)), f"{sortable(kept.at)}#{order:020d}"),
        "entry": text(encode(AUDIT_ENTRY, kept)),
        EXPIRES_AT: _audit_expiry(kept.at),
    }


def audit_day(day: str) -> Item:
    """Return the item that registers a day; it expires a day later than the last entry of that day."""
    end = datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(days=1)
    return {**key(AUDIT_DAYS, day), EXPIRES_AT: _audit_expiry(end + timedelta(days=1))}


def _audit_expiry(when: datetime) -> Item:
    return number(math.ceil((when + AUDIT_KEPT).timestamp()))


def day_of_entry(item: Item) -> str:
    """Return the day in whose partition an entry is."""
    return str(item["pk"]["S"]).removeprefix(audit_partition(""))


def audit_entry(item: Mapping[str, Any]) -> AuditEntry:
    """Return an entry of the audit trail. Raises RowUnreadable."""
    return decode(AUDIT_ENTRY, member(item, "entry"), where=f"audit entry {member(item, 'sk')}")


def day_of(when: datetime) -> str:
    """Return the day of a time, in UTC."""
    return sortable(when)[:10]


_ABSENT: Final[Mapping[str, Any]] = {}


def member(item: Mapping[str, Any], name: str) -> str:
    """Return the text of an attribute. Raises RowUnreadable."""
    found = item.get(name, _ABSENT).get("S")
    if not isinstance(found, str):
        raise _unreadable(item, f"{name} is missing")
    return found


def _unreadable(item: Mapping[str, Any], problem: str) -> RowUnreadable:
    pk, sk = (item.get(name, _ABSENT).get("S") for name in ("pk", "sk"))
    return RowUnreadable(f"item {pk} {sk} cannot be read: {problem}")
