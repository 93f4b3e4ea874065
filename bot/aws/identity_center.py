"""Users of AWS IAM Identity Center: `ports.aws.Identities`. Reads two names of a record and keeps nothing else of it.

Owns how long an answer is believed, and that one question is asked at a time. Must not know who is placed by it.
https://docs.aws.amazon.com/singlesignon/latest/APIReference/API_ListInstances.html
https://docs.aws.amazon.com/singlesignon/latest/IdentityStoreAPIReference/API_DescribeUser.html
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from cachetools import TLRUCache, TTLCache

from bot.aws.calls.clients import Clients
from bot.aws.calls.rate_limit import Lane
from bot.aws.jit.assumptions import (
    IDENTITY_STORE_ID,
    LONGEST_MAIL_ADDRESS,
    LONGEST_USER_NAME,
    UNKNOWN_USER,
    USABLE_INSTANCES,
)
from bot.boto.failures import CallFailed, Failure
from bot.boto.fields import rows, text
from bot.ports.aws import AwsUnavailable
from bot.ports.clock import Clock

KEPT_SECONDS = 3600.0  # an id is one user's for good, and hardly anybody is renamed
NOBODY_SECONDS = 300.0  # somebody who was provisioned just now is found after this
FAILED_SECONDS = 30.0  # a look comes again after 1, 2, 4 … seconds; nothing mends sooner than this
TOLD_SECONDS = 3600.0  # a cause is logged once in this time: without the permission every look has it
PROMPT_SECONDS = 2.0  # a card appears within seconds, if need be without knowing who asks, and is completed later
KEPT = 2000  # users
CAUSES = 50  # codes are text from outside
PAGES = 5  # of ten instances each; an organization has one
EVERYBODY: Final = ""  # no user's id: a failure that is not about one user
log = structlog.get_logger(__name__)

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a look at a record brought; `code` says why nothing."""

    names: Names = ()
    code: str | None = None


class IdentityCenter:
    """Reads records with the bot's own credentials in its own Region, and remembers what they say."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._names: TLRUCache[str, Names] = TLRUCache(KEPT, ttu=_believed_until, timer=clock.epoch)
        self._failing: TTLCache[str, str] = TTLCache(KEPT, ttl=FAILED_SECONDS, timer=clock.epoch)
        self._stores: TTLCache[str, str] = TTLCache(1, ttl=KEPT_SECONDS, timer=clock.epoch)
        self._told: TTLCache[str, bool] = TTLCache(CAUSES, ttl=TOLD_SECONDS, timer=clock.epoch)
        self._under_way: dict[str, asyncio.Task[_Answer]] = {}
        self._turn = asyncio.Lock()

    async def names(self, user_id: str) -> Names:
        """Return a user's name and primary mail address promptly, empty for nobody's id. Raises AwsUnavailable."""
        answer = self._remembered(user_id) or await self._promptly(user_id)
        if answer.code is not None:
            self._tell(answer.code)
            raise AwsUnavailable(answer.code)
        return answer.names

    async def close(self) -> None:
        """Wait for the looks under way."""
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)

    def _remembered(self, user_id: str) -> _Answer | None:
        names = self._names.get(user_id)
        if names is not None:
            return _Answer(names)
        code = self._failing.get(user_id) or self._failing.get(EVERYBODY)
        return _Answer(code=code) if code else None

    async def _promptly(self, user_id: str) -> _Answer:
        """Wait a moment for the answer; what takes longer is there for a later look."""
        task = self._under_way.get(user_id) or self._begin(user_id)
        await asyncio.wait({task}, timeout=PROMPT_SECONDS)
        return task.result() if task.done() else _Answer(code="NotAnsweredYet")

    def _begin(self, user_id: str) -> asyncio.Task[_Answer]:
        task = asyncio.create_task(self._look(user_id))
        self._under_way[user_id] = task
        task.add_done_callback(lambda _: self._under_way.pop(user_id, None))
        return task

    async def _look(self, user_id: str) -> _Answer:
        async with self._turn:
            if remembered := self._remembered(user_id):
                return remembered  # what failed for whoever was first in line fails for all
            try:
                self._names[user_id] = names = await self._read(user_id)
            except CallFailed as failed:
                about = user_id if failed.failure is Failure.REFUSED else EVERYBODY
                self._failing[about] = failed.code
                return _Answer(code=failed.code)
            return _Answer(names)

    async def _read(self, user_id: str) -> Names:
        store = self._stores.get(EVERYBODY) or await self._find_store()
        try:
            answer = await self._clients.own_read(
                "identitystore", "describe_user", Lane.LOOK, IdentityStoreId=store, UserId=user_id
            )
        except CallFailed as failed:
            if failed.code != UNKNOWN_USER:
                raise
            self._tell(failed.code)
            self._stores.clear()  # or it is the store that is not there any more
            return ()
        return names_in(answer, user_id)

    # --- the store

    async def _find_store(self) -> str:
        """Return the id of the one identity store that this account sees; raise CallFailed for none and for several."""
        found = {
            text(each.get("IdentityStoreId")) or ""
            for each in await self._instances()
            if text(each.get("Status")) in USABLE_INSTANCES
        }
        if len(found) > 1:
            raise CallFailed("SeveralIdentityStores", Failure.NO_ANSWER)  # an id may be another user's in each
        store = next(iter(found), "")
        if not IDENTITY_STORE_ID.fullmatch(store):
            raise CallFailed("NoIdentityStore", Failure.NO_ANSWER)
        self._stores[EVERYBODY] = store
        return store

    async def _instances(self) -> list[Mapping[str, object]]:
        found, page = list[Mapping[str, object]](), dict[str, object]()
        for _ in range(PAGES):
            answer = await self._clients.own_read("sso-admin", "list_instances", Lane.LOOK, **page)
            found += rows(answer.get("Instances"))
            token = text(answer.get("NextToken"))
            if token is None:
                return found
            page = {"NextToken": token}
        raise CallFailed("EndlessPages", Failure.NO_ANSWER)

    # --- the log

    def _tell(self, code: str) -> None:
        if code not in self._told:
            self._told[code] = True
            log.warning("identity_center_unreadable", code=code)


def _believed_until(_user_id: str, names: Names, now: float) -> float:
    return now + (KEPT_SECONDS if names else NOBODY_SECONDS)


def names_in(record: Mapping[str, object], user_id: str) -> Names:
    """Return what may name the user in a record, the user name first; raise CallFailed for somebody else's."""
    if (text(record.get("UserId")) or user_id).casefold() != user_id.casefold():
        raise CallFailed("AnotherUser", Failure.REFUSED)
    primary = [each.get("Value") for each in rows(record.get("Emails")) if each.get("Primary") is True]
    mail = primary[0] if len(primary) == 1 else None
    found = (_name(record.get("UserName"), LONGEST_USER_NAME), _name(mail, LONGEST_MAIL_ADDRESS))
    return tuple(name for name in found if name)


def _name(value: object, longest: int) -> str | None:
    """Return a name as it is; none that is too long, or in which something is not seen: cut, it would be another's."""
    name = (text(value) or "").strip()
    return name if name and len(name) <= longest and name.isprintable() else None
