"""The store in one DynamoDB table, for several processes on several machines.

Every write of a row is conditional on its version, in one transaction with its audit entries. All reads are consistent,
except that an index may list a row late. boto3 blocks, so calls run in separate threads. Every failure raises
StoreUnavailable, in time for the answer to a click; only opening and long lists may take longer. `items.py` describes
the items of the table.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

from cachetools import TTLCache

from bot.domain.audit import AuditEntry
from bot.domain.digest_post import DigestPost
from bot.domain.history import HistoryEntry
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.domain.spans import latest_end
from bot.domain.storable import storable
from bot.ports.store import (
    MOST_IN_PAGE,
    NOTHING_KNOWN,
    Change,
    PersonalChat,
    Place,
    Replica,
    StoreDamaged,
    StoreUnavailable,
    StoreUncertain,
    Wanted,
    Watched,
    every_row,
)
from bot.store.dynamodb import items
from bot.store.dynamodb import table as shape
from bot.store.dynamodb.calls import CALL_SECONDS, THREADS, Calls, ConditionFailed, Patience, TableMissing, part
from bot.store.dynamodb.commits import Commits, Job
from bot.store.dynamodb.reading import Reading, Start
from bot.store.dynamodb.trail import Trail

SECONDS = 2.5  # for an answer; a click must be answered within 3, even if only with "not stored"
PATIENCE = 1.5  # seconds in which calls are repeated; the last one can still be answered in time
MANY = 4  # factor on the time limits of opening, and of long lists, for which no click waits
INDEX_SECONDS = 5.0  # usually, an index lists a row within a second after it was written
RECENT = 1000  # rows written in that time, at most; AWS allows three calls a second
T = TypeVar("T")


class DynamoStore:
    """`ports.store.Store` in a table, which `async with` opens and closes.

    `call_seconds` limits one call, and `seconds` an answer. Failures are repeated for `patience` seconds. `session` is
    a boto3 session, for credentials other than those of the standard chain.
    """

    def __init__(
        self,
        table: str,
        *,
        region: str,
        call_seconds: float = CALL_SECONDS,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
        session: Any = None,
    ) -> None:
        self._calls = Calls(table, region=region, call_seconds=call_seconds, session=session)
        self._seconds, self._patience = seconds, patience
        self._trail = Trail(self._calls)
        self._commits = Commits(self._calls, self._trail, self._start, patience=patience)
        self._threads: ThreadPoolExecutor | None = None
        self._recent: TTLCache[RequestKey, datetime] = TTLCache(RECENT, INDEX_SECONDS, time.monotonic)
        self._identity: object = None  # of the table
        self._history_began: datetime | None = None  # once it is stored, it never changes
        self._refusal: StoreDamaged | None = None  # while set, every call fails
        self.created = False
        self._appending: tuple[Sequence[AuditEntry], Sequence[items.Item]] = ((), ())

    async def __aenter__(self) -> Self:
        """Connect, and check that the table is the bot's. Raises StoreUnavailable, TableRefused."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        try:
            await self._run(self._check_table, times=MANY)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Complete pending work and close all connections."""
        await self._close()

    async def _close(self) -> None:
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
            self._calls.close()

    async def check(self) -> None:
        """Check the table. Raises StoreUnavailable, or StoreDamaged if it was deleted or replaced, or lost an index.

        After StoreDamaged, every call fails until a check succeeds.
        """
        threads = self._opened()
        try:
            await self._answer(threads.submit(self._check_again), seconds=self._seconds)
        except StoreDamaged as damage:
            self._refusal = damage
            raise
        self._refusal = None

    # --- requests

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by any process; None if there is none."""
        return await self._read(lambda table: items.stored(table.item(items.row_key(key))).record)

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write what `change` returns for the row. `change` runs in one of the store's threads."""
        job = Job(change, now)
        self._open_threads()
        self._commits.add(key, job)
        record = await self._answer(job.done, seconds=self._seconds, writes=True)
        self._note_recent(record)
        return record

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the keys of due rows, longest due first. Changes by other processes may be missing for seconds."""
        recent = [key for key, moment in self._recent.items() if moment <= now]
        return await self._read(lambda table: table.due(now, limit, recent))

    async def next_due(self) -> datetime | None:
        """Return the earliest `requeue_at`, or None. Changes by other processes may be missing for seconds."""
        recent = min(self._recent, key=self._recent.__getitem__, default=None)
        return await self._read(lambda table: table.next_due([recent] if recent else ()))

    async def watched(
        self,
        place: Place | None = None,
        *,
        known: Mapping[RequestKey, int] = NOTHING_KNOWN,
        wanted: Wanted = every_row,
    ) -> AsyncIterator[Watched]:
        """Yield the rows whose requests AWS may still change, oldest first. A new row may be missing for seconds."""
        start: Start | None = {}
        while start is not None:
            keys, start = await self._read(partial(Reading.watched_keys, start=start), times=MANY)
            here = [key for key in keys if place is None or (key.account, key.region) == place]
            if seen := [key for key in here if key in known]:
                unchanged = frozenset(await self._read(partial(Reading.unchanged, keys=seen, known=known), times=MANY))
                yield Watched(unchanged=tuple(unchanged))
                here = [key for key in here if key not in unchanged]
            for first in range(0, len(here), MOST_IN_PAGE):
                some = here[first : first + MOST_IN_PAGE]
                yield await self._read(partial(Reading.watched, keys=some, wanted=wanted), times=MANY)

    async def forget_expired(self, now: datetime) -> int:  # noqa: ARG002  (DynamoDB uses its own clock)
        """Do nothing: DynamoDB's time to live deletes expired rows within days. Until then they are ordinary rows."""
        return 0

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of an OpsItem id, in any account and Region."""
        return await self._read(lambda table: table.find(ops_item_id))

    async def load_several(self, keys: Sequence[RequestKey]) -> Sequence[Record]:
        """Return those of the rows that exist and can be read."""
        return await self._read(lambda table: table.rows(keys), times=MANY)

    async def history(self, subject: str, since: datetime, limit: int) -> Sequence[HistoryEntry]:
        """Return the entries of a subject from `since` on, newest first, at most `limit`."""
        return await self._read(lambda table: table.history(subject, since, limit), times=MANY)

    async def history_began(self, now: datetime) -> datetime:
        """Return since when all requests are listed. The first call stores `now`."""
        if self._history_began is None:
            began = {**shape.HISTORY_KEY, "moment": items.text(items.sortable(now))}
            await self._write("put_item", Item=began, **items.IF_ABSENT)
            found = await self._read(lambda table: table.item(shape.HISTORY_KEY))
            self._history_began = items.moment(found, "moment") if found else None
        return self._history_began or now

    # --- people and conversations

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Store the personal chat of a person; it replaces an earlier one."""
        await self._run(partial(self._put_chat, storable(chat)))

    async def forget_chat(self, object_id: str) -> None:
        """Delete the personal chat of a person, if there is one."""
        await self._write("delete_item", Key=items.chat_key(object_id))

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return the personal chat of a person; None if it is unknown."""
        found = await self._read(lambda table: table.item(items.chat_key(object_id)))
        return items.chat_of(found) if found else None

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return all personal chats."""
        return await self._read(lambda table: table.personal_chats(), times=MANY)

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Store the service URL that Teams uses for a conversation."""
        address = items.text(storable(service_url))
        await self._write("put_item", Item={**items.service_url_key(conversation), "service_url": address})

    async def service_url(self, conversation: str) -> str | None:
        """Return the service URL of a conversation; None if it is unknown."""
        found = await self._read(lambda table: table.item(items.service_url_key(conversation)))
        return items.member(found, "service_url") if found else None

    async def remember_team_group(self, conversation: str, group_id: str) -> None:
        """Store the Microsoft Entra group of the team that a channel belongs to."""
        group = items.text(storable(group_id))
        await self._write("put_item", Item={**items.team_group_key(conversation), "group_id": group})

    async def team_group(self, conversation: str) -> str | None:
        """Return the group of a channel's team; None if it is unknown."""
        found = await self._read(lambda table: table.item(items.team_group_key(conversation)))
        return items.member(found, "group_id") if found else None

    # --- the sweep and the audit trail

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the lease for sweeping an account and Region; False while another owner has it."""
        return await self._write(
            "update_item",
            Key=items.place_key(account, region, "sweep"),
            UpdateExpression="SET #owner = :owner, #until = :until",
            ConditionExpression="attribute_not_exists(#owner) OR #owner = :owner OR #until <= :now OR #until > :latest",
            ExpressionAttributeNames={"#owner": "owner", "#until": "until"},
            ExpressionAttributeValues={
                ":owner": items.text(storable(owner)),
                ":until": items.text(items.sortable(until)),
                ":now": items.text(items.sortable(now)),
                ":latest": items.text(items.sortable(latest_end(until, now=now))),  # later: by a clock that was ahead
            },
        )

    async def register_replica(self, replica: Replica) -> None:
        """Store that a process is running, and which stored values it can read.

        DynamoDB deletes entries older than REPLICA_KEPT.
        """
        await self._write("put_item", Item=items.replica_item(replica))

    async def replicas(self, since: datetime) -> Sequence[Replica]:
        """Return the processes that registered at or after `since`, sorted by owner."""
        return await self._read(lambda table: table.replicas(since))

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return the time from which the sweep must list changes; None before the first sweep."""
        found = await self._read(lambda table: table.item(items.place_key(account, region, "watermark")))
        return items.moment(found, "moment") if found else None

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Store a later watermark. An earlier one changes nothing."""
        await self._write(
            "update_item",
            Key=items.place_key(account, region, "watermark"),
            UpdateExpression="SET #moment = :moment",
            ConditionExpression="attribute_not_exists(#moment) OR #moment < :moment",
            ExpressionAttributeNames={"#moment": "moment"},
            ExpressionAttributeValues={":moment": items.text(items.sortable(moment))},
        )

    async def digest_post(self, name: str) -> DigestPost | None:
        """Return the post of a weekly digest; None if no process has claimed it."""
        found = await self._read(lambda table: table.item(items.digest_key(name)))
        return items.digest_post_of(found) if found else None

    async def write_digest_post(self, post: DigestPost) -> bool:
        """Store the next version of a post; False if another process was first. DynamoDB deletes old posts."""
        return await self._write("put_item", **items.next_digest_post(storable(post)))

    async def append_audit(self, *entries: AuditEntry) -> None:
        """Add entries to the audit trail. A repeated call with the same entries writes the same items again."""
        if [*map(id, entries)] != [*map(id, self._appending[0])]:
            self._appending = entries, self._trail.as_items(entries)
        _, items_of_entries = self._appending

        def appended() -> None:
            self._trail.append(items_of_entries, Patience(self._patience))

        await self._run(appended)

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return audit entries from `since` on, before `until` if given, oldest first."""
        return await self._read(lambda table: table.audit(since, until), times=MANY)

    # --- in threads

    def _put_chat(self, chat: PersonalChat) -> None:
        """Replace the stored chat. If another process writes it in between, read it and try again."""
        patience = Patience(self._patience)
        while True:
            former = Reading(self._calls, patience).item(items.chat_key(chat.person.object_id))
            try:
                self._calls.repeated(patience, "put_item", **items.chat_over(chat, former))
            except ConditionFailed:
                patience.wait(StoreUnavailable("a personal chat is written by too many at once"))
            else:
                return

    def _note_recent(self, record: Record) -> None:
        """Remember when a row is due, for INDEX_SECONDS: until then, the index `due` may not list it."""
        if record.requeue_at is None:
            self._recent.pop(record.key, None)
        else:
            self._recent[record.key] = record.requeue_at

    def _check_table(self) -> None:
        """Check the table's definition and schema version; store the version if the table has none."""
        patience = Patience(MANY * self._patience)
        self._identity = _identity(self._described(patience))
        marker = Reading(self._calls, patience).item(shape.SCHEMA_KEY)
        shape.refuse_newer(self._calls.table, marker)
        if marker is None:
            self._calls.repeated(patience, "put_item", Item=shape.MARKER)
            self.created = True

    def _check_again(self) -> None:
        """Check that the table is the one that was opened. Raises StoreDamaged, StoreUnavailable."""
        name = self._calls.table
        try:
            table = self._described(Patience(self._patience))
        except shape.TableRefused as refused:
            raise StoreDamaged(str(refused)) from refused
        if _identity(table) != self._identity:
            raise StoreDamaged(f"the table {name} was deleted and made again: restore it, and restart every replica")

    def _described(self, patience: Patience) -> Mapping[str, Any]:
        """Return the table's description. Raises TableRefused for a table that the bot cannot use."""
        name = self._calls.table
        try:
            table: Mapping[str, Any] = part(self._calls.repeated(patience, "describe_table"), "Table")
        except TableMissing as missing:
            raise shape.TableRefused(f"there is no table {name} in {self._calls.region}: {shape.ADVICE}") from missing
        shape.refuse_foreign(name, table)
        return table

    async def _read(self, question: Callable[[Reading], T], *, times: int = 1) -> T:
        def answered() -> T:
            return question(Reading(self._calls, Patience(times * self._patience)))

        return await self._run(answered, times=times)

    async def _write(self, operation: str, **params: object) -> bool:
        """Make an idempotent write; return False if its condition does not hold."""

        def written() -> bool:
            try:
                self._calls.repeated(Patience(self._patience), operation, **params)
            except ConditionFailed:
                return False
            return True

        return await self._run(written)

    async def _run(self, work: Callable[[], T], *, times: int = 1) -> T:
        return await self._answer(self._start(work), seconds=times * self._seconds)

    def _start(self, work: Callable[[], T]) -> "Future[T]":
        return self._open_threads().submit(work)

    def _open_threads(self) -> ThreadPoolExecutor:
        threads = self._opened()
        if self._refusal:
            raise StoreDamaged(str(self._refusal)) from self._refusal
        return threads

    def _opened(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise StoreUnavailable("the store is not open")
        return self._threads

    async def _answer(self, done: "Future[T]", *, seconds: float, writes: bool = False) -> T:
        """Wait for a thread's work, at most `seconds`. A thread that hangs is freed by the time-outs of its call.

        Raises StoreUnavailable after that; StoreUncertain if the work `writes` and has begun.
        """
        waiting = asyncio.wrap_future(done)
        try:
            await asyncio.wait({waiting}, timeout=seconds)
            if not waiting.done():
                problem = f"the table {self._calls.table} did not answer within {seconds:g} s"
                begun = not done.cancel()
                raise StoreUncertain(problem) if writes and begun else StoreUnavailable(problem)
            return waiting.result()
        finally:
            waiting.cancel()


def _identity(table: Mapping[str, Any]) -> object:
    """Return what distinguishes a table from a later one of the same name. Emulators may lack the id."""
    return table.get("TableId"), table.get("CreationDateTime")
