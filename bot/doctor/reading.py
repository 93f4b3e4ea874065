"""Reads requests and sessions of accounts and Regions as the bot does, and one request of each completely."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

from bot.doctor.tables import newest
from bot.domain.configuration import Configuration
from bot.domain.request import AccessRequest, RequestKey
from bot.ports.aws import (
    AwsThrottled,
    AwsUnavailable,
    ListedRequest,
    RequestNotReadable,
    Requests,
    Sessions,
    SessionsDenied,
)
from bot.ports.clock import Clock
from bot.ports.store import Place
from bot.service.checks.advice import INCOMPLETE, READING_CODES, aws_advice
from bot.service.checks.check import NOT_COMPLETE, Check, NotChecked, Problem

SINCE: Final = timedelta(days=14)  # the longest access: what was approved earlier has ended
MOST_READ: Final = 3  # requests read completely for each account and Region
NO_SESSIONS: Final = (
    "the reader role may not list sessions, so cards do not show what access was used for; if they should, add the"
    " statement ListSessionsToShowHowAccessWasUsed of infra/aws/reader-policy.json"
)


class Reading:
    """The checks `sweep <account> <Region>`. `listed` and `read` have the requests that they found and read.

    Requests that an auto-approval policy approved are only counted.
    """

    def __init__(self, requests: Requests, clock: Clock) -> None:
        self._requests, self._clock = requests, clock
        self.listed: list[ListedRequest] = []
        self.auto_approved = 0
        self.read: dict[RequestKey, AccessRequest] = {}

    def checks(self, configuration: Configuration) -> Iterator[Check]:
        """Yield a check for each account and Region."""
        for account, region in configuration.places:
            yield self._check(account, region)

    def _check(self, account: str, region: str) -> Check:
        async def find() -> Problem | None:
            try:
                listed = await self._requests.list_requests(account, region, self._clock.now() - SINCE)
            except AwsThrottled:
                raise NotChecked from None
            except AwsUnavailable as unavailable:
                return Problem(unavailable.code, aws_advice(unavailable.code, READING_CODES))
            decided = [each for each in listed if not each.auto_approved]
            self.listed += decided
            self.auto_approved += len(listed) - len(decided)
            return await self._incomplete(newest(decided)[:MOST_READ])

        return Check(f"sweep {account} {region}", find)

    async def _incomplete(self, keys: list[RequestKey]) -> Problem | None:
        """Read some requests. Return a problem if at least one could be read, but none completely."""
        for key in keys:
            with suppress(RequestNotReadable, AwsUnavailable):
                self.read[key] = await self._requests.observe(key)
        if not self.read.keys() & set(keys) or any(self.read[key].complete for key in keys if key in self.read):
            return None
        return Problem(NOT_COMPLETE, INCOMPLETE.format(request=keys[0].ops_item_id))


async def unlisted_sessions(sessions: Sessions, configuration: Configuration) -> Mapping[str, str]:
    """Return why sessions on nodes cannot be listed, by account and Region. The permission is optional."""
    places = configuration.places
    answers = await asyncio.gather(*(_unlisted(sessions, each) for each in places))
    return {f"sessions {' '.join(place)}": why for place, why in zip(places, answers, strict=True) if why}


async def _unlisted(sessions: Sessions, place: Place) -> str:
    try:
        await sessions.active(*place)
    except SessionsDenied:
        return NO_SESSIONS
    except AwsUnavailable as unavailable:
        return f"AWS answers {unavailable.code}"
    return ""
