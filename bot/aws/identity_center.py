"""Users of AWS IAM Identity Center: `ports.aws.Identities`. Reads two names of a record and drops the rest.

Caches answers and makes one lookup at a time. It must not know who is identified by the names.
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
from bot.concurrency.single_flight import SingleFlight
from bot.ports.aws import AwsUnavailable
from bot.ports.clock import Clock

KEPT_SECONDS = 3600.0  # an id never moves to another user, and users are rarely renamed
UNKNOWN_SECONDS = 300.0  # seconds after which a newly provisioned user is found
FAILED_SECONDS = 30.0  # reconciliation repeats after 1, 2, 4 … seconds; problems rarely end sooner than this
LOGGED_SECONDS = 3600.0  # each code is logged once in this time: a missing permission fails every lookup
PROMPT_SECONDS = 2.0  # a card must appear within seconds; it may name no requester at first and be completed later
KEPT = 2000  # users
CODES = 50  # error codes that are remembered; they are text from outside
PAGES = 5  # pages of ten instances; an organization has one instance
ALL_USERS: Final = ""  # not a user id: key of a failure that does not concern one user
log = structlog.get_logger(__name__)

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """The names in a record. If it could not be read, `code` says why."""

    names: Names = ()
    code: str | None = None


class IdentityCenter:
    """Reads user records with the bot's own credentials in its own Region."""

    def __init__(self, clients: Clients, *, clock: Clock) -> None:
        self._clients = clients
        self._names: TLRUCache[str, Names] = TLRUCache(KEPT, ttu=_fresh_until, timer=clock.epoch)
        self._failing: TTLCache[str, str] = TTLCache(KEPT, ttl=FAILED_SECONDS, timer=clock.epoch)
        self._stores: TTLCache[str, str] = TTLCache(1, ttl=KEPT_SECONDS, timer=clock.epoch)
        self._logged: TTLCache[str, bool] = TTLCache(CODES, ttl=LOGGED_SECONDS, timer=clock.epoch)
        self._lookups = SingleFlight(self._look_up)
        self._turn = asyncio.Lock()

    async def drain(self) -> None:
        """Wait for running lookups."""
        await self._lookups.drain()

    async def names(self, user_id: str) -> Names:
        """Return user name and primary mail address, without missing ones; empty for an unknown id.

        Raises AwsUnavailable, also after PROMPT_SECONDS without an answer.
        """
        answer = self._cached(user_id) or await self._promptly(user_id)
        if answer.code is not None:
            self._log_once(answer.code)
            raise AwsUnavailable(answer.code)
        return answer.names

    def _cached(self, user_id: str) -> _Answer | None:
        names = self._names.get(user_id)
        if names is not None:
            return _Answer(names)
        code = self._failing.get(user_id) or self._failing.get(ALL_USERS)
        return _Answer(code=code) if code else None

    async def _promptly(self, user_id: str) -> _Answer:
        """Wait for the lookup, at most PROMPT_SECONDS. A slower one continues, and a later call gets its answer."""
        found = await self._lookups.join_briefly(user_id, seconds=PROMPT_SECONDS)
        return found or _Answer(code="NotAnsweredYet")

    async def _look_up(self, user_id: str) -> _Answer:
        async with self._turn:
            if cached := self._cached(user_id):
                return cached  # the lookup before this one may have found a failure that concerns all users
            try:
                self._names[user_id] = names = await self._read(user_id)
            except CallFailed as failed:
                about = user_id if failed.failure is Failure.REFUSED else ALL_USERS
                self._failing[about] = failed.code
                return _Answer(code=failed.code)
            return _Answer(names)

    async def _read(self, user_id: str) -> Names:
        store = self._stores.get(ALL_USERS) or await self._find_store()
        try:
            answer = await self._clients.own_read(
                "identitystore", "describe_user", Lane.RECONCILE, IdentityStoreId=store, UserId=user_id
            )
        except CallFailed as failed:
            if failed.code != UNKNOWN_USER:
                raise
            self._log_once(failed.code)
            self._stores.clear()  # the identity store itself may be deleted
            return ()
        return names_in(answer, user_id)

    # --- the store

    async def _find_store(self) -> str:
        """Return the id of the only identity store that this account sees. Raises CallFailed for none or several."""
        found = {
            text(each.get("IdentityStoreId")) or ""
            for each in await self._instances()
            if text(each.get("Status")) in USABLE_INSTANCES
        }
        if len(found) > 1:
            raise CallFailed("SeveralIdentityStores", Failure.NO_ANSWER)  # a user id may exist in each
        store = next(iter(found), "")
        if not IDENTITY_STORE_ID.fullmatch(store):
            raise CallFailed("NoIdentityStore", Failure.NO_ANSWER)
        self._stores[ALL_USERS] = store
        return store

    async def _instances(self) -> list[Mapping[str, object]]:
        return await self._clients.own_read_all(
            "sso-admin", "list_instances", Lane.RECONCILE, member="Instances", pages=PAGES
        )

    # --- the log

    def _log_once(self, code: str) -> None:
        if code not in self._logged:
            self._logged[code] = True
            log.warning("identity_center_unreadable", code=code)


def _fresh_until(_user_id: str, names: Names, now: float) -> float:
    return now + (KEPT_SECONDS if names else UNKNOWN_SECONDS)


def names_in(record: Mapping[str, object], user_id: str) -> Names:
    """Return the names in a user record, the user name first; raise CallFailed for another user."""
    if (text(record.get("UserId")) or user_id).casefold() != user_id.casefold():
        raise CallFailed("AnotherUser", Failure.REFUSED)
    primary = [each.get("Value") for each in rows(record.get("Emails")) if each.get("Primary") is True]
    mail = primary[0] if len(primary) == 1 else None
    found = (usable_name(record.get("UserName"), LONGEST_USER_NAME), usable_name(mail, LONGEST_MAIL_ADDRESS))
    return tuple(name for name in found if name)


def usable_name(value: object, longest: int) -> str | None:
    """Return a name without surrounding blanks; None if it is empty, unprintable or has over `longest` characters.

    It is never shortened or cleaned, because the result could be another user's name.
    """
    name = (text(value) or "").strip()
    return name if name and len(name) <= longest and name.isprintable() else None
