"""The store on one DynamoDB table, for several processes on several machines.

Every write of a row is conditional on its version, and one transaction with what the audit trail says of it; every
answer but a list is read consistently, and lists are made of rows that are. boto3 blocks, so it has threads of its own.
Whatever fails is StoreUnavailable, within the time that a click has. What is in the table: bot.store.dynamodb.items.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from cachetools import TTLCache

from bot.domain.audit import AuditEntry
from bot.domain.record import Record
from bot.domain.request import RequestKey
from bot.ports.store import Change, PersonalChat, StoreUnavailable, StoreUncertain, Watched
from bot.store.dynamodb import items
from bot.store.dynamodb import table as shape
from bot.store.dynamodb.calls import CALL_SECONDS, THREADS, Calls, ConditionFailed, DynamoError, Patience, part
from bot.store.dynamodb.commits import Commits, Job
from bot.store.dynamodb.reading import Reading
from bot.store.dynamodb.trail import Trail
from bot.store.rows import storable

SECONDS = 2.5  # for an answer; a click is to be answered within 3, "not stored" if need be
PATIENCE = 1.5  # seconds in which a call is begun again: the last of them can still be answered then
MANY = 4  # times as long have lists of many pages, on which nobody waits after a click, and the start
INDEX_SECONDS = 5.0  # an index has long followed by then: rows that were written before are found by it
RECENT = 1000  # rows of those seconds, at most; AWS lets three calls a second through
T = TypeVar("T")


class DynamoStore:
    """`ports.store.Store` on a table. Connects to nothing until `open()` or `async with`.

    `call_seconds`: for one call; `seconds`: for an answer; `patience`: seconds in which what failed is tried again.
    `session`: boto3's, for credentials other than those of the standard chain.
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
        self._appending: tuple[AuditEntry, Sequence[items.Item]] | None = None

    async def open(self) -> None:
        """Connect, and make sure that the table is the bot's. Raises StoreUnavailable, TableRefused."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="store")
        try:
            await self._run(self._opened, times=MANY)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was begun and close every connection. Closing twice is no error."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
            self._calls.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- requests

    async def load(self, key: RequestKey) -> Record | None:
        """Return the row, as last written by anybody."""
        return await self._read(lambda table: items.stored(table.item(items.row_key(key))).record)

    async def apply(self, key: RequestKey, change: Change, *, now: datetime) -> Record:
        """Write what `change` makes of the row. It runs in one of the store's threads."""
        job = Job(change, now)
        self._refuse_if_closed()
        self._commits.add(key, job)
        record = await self._answer(job.done, seconds=self._seconds, writes=True)
        self._keep_in_mind(record)
        return record

    async def due(self, now: datetime, limit: int) -> Sequence[RequestKey]:
        """Return the rows whose `requeue_at` has come, longest due first; those of other processes within seconds."""
        recent = [key for key, moment in self._recent.items() if moment <= now]
        return await self._read(lambda table: table.due(now, limit, recent))

    async def next_due(self) -> datetime | None:
        """Return the earliest `requeue_at` of all rows; one that another process wrote within seconds."""
        recent = min(self._recent, key=self._recent.__getitem__, default=None)
        return await self._read(lambda table: table.next_due([recent] if recent else ()))

    async def watched(self) -> Watched:
        """Return the rows that AWS may still change, oldest first; one that was just written within seconds."""
        return await self._read(lambda table: table.watched(), times=MANY)

    async def forget_expired(self, now: datetime) -> int:  # noqa: ARG002  (DynamoDB has the time)
        """Leave it to DynamoDB's time to live, which deletes within days. Until then an expired row is as any other."""
        return 0

    async def find(self, ops_item_id: str) -> Sequence[Record]:
        """Return the rows of that OpsItem id, in whatever account and Region."""
        return await self._read(lambda table: table.find(ops_item_id))

    # --- people and conversations

    async def remember_chat(self, chat: PersonalChat) -> None:
        """Keep where a person can be reached."""
        await self._write("put_item", Item=items.chat_item(chat))

    async def forget_chat(self, object_id: str) -> None:
        """Drop it."""
        await self._write("delete_item", Key=items.chat_key(object_id))

    async def personal_chat(self, object_id: str) -> PersonalChat | None:
        """Return where a person can be reached."""
        found = await self._read(lambda table: table.item(items.chat_key(object_id)))
        return items.chat_of(found) if found else None

    async def personal_chats(self) -> Sequence[PersonalChat]:
        """Return everybody who can be reached."""
        return await self._read(lambda table: table.personal_chats(), times=MANY)

    async def remember_service_url(self, conversation: str, service_url: str) -> None:
        """Keep where Teams wants messages for a conversation to go."""
        address = items.text(storable(service_url))
        await self._write("put_item", Item={**items.service_url_key(conversation), "service_url": address})

    async def service_url(self, conversation: str) -> str | None:
        """Return it."""
        found = await self._read(lambda table: table.item(items.service_url_key(conversation)))
        return items.member(found, "service_url") if found else None

    # --- the sweep and the audit trail

    async def lease_sweep(self, account: str, region: str, owner: str, *, now: datetime, until: datetime) -> bool:
        """Take or renew the right to sweep an account and Region; False while another has it."""
        return await self._write(
            "update_item",
            Key=items.place_key(account, region, "sweep"),
            UpdateExpression="SET #owner = :owner, #until = :until",
            ConditionExpression="attribute_not_exists(#owner) OR #owner = :owner OR #until <= :now",
            ExpressionAttributeNames={"#owner": "owner", "#until": "until"},
            ExpressionAttributeValues={
                ":owner": items.text(storable(owner)),
                ":until": items.text(items.spelled(until)),
                ":now": items.text(items.spelled(now)),
            },
        )

    async def watermark(self, account: str, region: str) -> datetime | None:
        """Return since when the sweep must list changes."""
        found = await self._read(lambda table: table.item(items.place_key(account, region, "watermark")))
        return items.moment(found, "moment") if found else None

    async def advance_watermark(self, account: str, region: str, moment: datetime) -> None:
        """Keep it; it never goes back."""
        await self._write(
            "update_item",
            Key=items.place_key(account, region, "watermark"),
            UpdateExpression="SET #moment = :moment",
            ConditionExpression="attribute_not_exists(#moment) OR #moment < :moment",
            ExpressionAttributeNames={"#moment": "moment"},
            ExpressionAttributeValues={":moment": items.text(items.spelled(moment))},
        )

    async def append_audit(self, entry: AuditEntry) -> None:
        """Add to the audit trail."""
        if self._appending is None or entry is not self._appending[0]:
            self._appending = entry, self._trail.placed([entry])
        _, placed = self._appending  # tried again, it takes the place that it may have already

        def appended() -> None:
            patience = Patience(self._patience)
            self._trail.open_days(placed, patience)
            self._calls.repeated(patience, "put_item", Item=placed[0])

        await self._run(appended)

    async def audit(self, since: datetime, until: datetime | None = None) -> Sequence[AuditEntry]:
        """Return the audit trail from then on, up to another moment or its end, oldest first."""
        return await self._read(lambda table: table.audit(since, until), times=MANY)

    # --- in threads

    def _keep_in_mind(self, record: Record) -> None:
        """Remember a row's moment until the index `due` has heard of it for certain."""
        if record.requeue_at is None:
            self._recent.pop(record.key, None)
        else:
            self._recent[record.key] = record.requeue_at

    def _opened(self) -> None:
        """Look at the table before anything in it is believed."""
        patience, name = Patience(MANY * self._patience), self._calls.table
        try:
            shape.refuse_foreign(name, part(self._calls.repeated(patience, "describe_table"), "Table"))
        except DynamoError as failed:
            if failed.code != "ResourceNotFoundException":
                raise
            region = self._calls.region
            raise shape.TableRefused(f"there is no table {name} in {region}: {shape.ADVICE}") from failed
        marker = Reading(self._calls, patience).item(shape.SCHEMA_KEY)
        shape.refuse_newer(name, marker)
        if marker is None:
            self._calls.repeated(patience, "put_item", Item={**shape.SCHEMA_KEY, "version": items.number(shape.SCHEMA)})

    async def _read(self, question: Callable[[Reading], T], *, times: int = 1) -> T:
        def answered() -> T:
            return question(Reading(self._calls, Patience(times * self._patience)))

        return await self._run(answered, times=times)

    async def _write(self, operation: str, **params: object) -> bool:
        """Make a write that may be made twice; False if its condition does not hold."""

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
        return self._refuse_if_closed().submit(work)

    def _refuse_if_closed(self) -> ThreadPoolExecutor:
        if self._threads is None:
            raise StoreUnavailable("the store is not open")
        return self._threads

    async def _answer(self, done: "Future[T]", *, seconds: float, writes: bool = False) -> T:
        """Wait for what a thread does, as long as its asker can. A thread that hangs comes back by its time-outs."""
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
