"""The public keys that verify the Bot Framework's tokens: fetch (OpenID metadata, then `jwks_uri`), refresh, expiry.

https://learn.microsoft.com/azure/bot-service/rest-api/bot-framework-rest-connector-authentication
"""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self

import aiohttp
import structlog
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import PyJWTError

from bot.concurrency.single_flight import SingleFlight
from bot.concurrency.window import SlidingWindow
from bot.ports.clock import Clock
from bot.ports.probes import MicrosoftRefused
from bot.teams.net.addresses import checked
from bot.teams.net.session import as_object, read_bounded

REFRESH_AFTER: Final = 24 * 3600.0  # seconds; the vendor requires a refresh at least every 24 hours
TRUSTED_FOR: Final = 5 * 24 * 3600.0  # seconds; during an outage, known keys stay valid for a long weekend
REFRESH_GAP: Final = 60.0  # seconds between attempts to refresh keys that are a day old
# Anybody can invent key ids, and an unknown id causes a fetch. A few fetches a minute cost little, and leave one for
# the first token of a real new key. An id that a fetch did not find is not looked up again for MISSING_FOR seconds.
UNKNOWN_FETCHES: Final = ((60.0, 4),)
MISSING_FOR: Final = 60.0
MISSING_KEPT: Final = 1024  # ids
LONGEST_KID: Final = 256  # characters; Microsoft's have 27
EMPTY_GAP: Final = 5.0  # seconds; without any key every request is refused, so try more often
FETCH_LIMIT: Final = 5.0  # seconds for both documents
# Seconds that a token waits for a fetch, which continues: a click must be answered within 3, and needs the rest itself.
WAIT_LIMIT: Final = 1.5
ALGORITHM: Final = "RS256"  # the only one in the vendor's metadata
SMALLEST_MODULUS: Final = 2048  # bits; shorter RSA keys can be factored
LONGEST_SHOWN: Final = 200  # characters of an address or a media type in the log; both come from outside

_AGE: Final = re.compile(r"[0-9]{1,9}")  # seconds in the header Age

log = structlog.get_logger(__name__)


class KeysUnavailable(Exception):
    """No signing keys have been fetched yet, so no token can be verified."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The last request for keys: its address, and the status and media type of the answer, if one came."""

    url: str
    status: int | None = None
    content_type: str | None = None

    def __str__(self) -> str:
        came = "was not answered" if self.status is None else f"answered {self.status} with {self.content_type}"
        return f"GET {self.url} {came}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One public key of the Bot Framework."""

    kid: str
    public: RSAPublicKey
    endorsements: frozenset[str]
    """Channels that the key may sign for. A key without endorsements may sign for none."""

    def endorses(self, channel_id: str) -> bool:
        """Return whether the key may sign for a channel."""
        return channel_id in self.endorsements


class SigningKeys:
    """The current keys, fetched when needed. Leaving the context cancels a fetch in progress."""

    def __init__(self, session: aiohttp.ClientSession, *, metadata_url: str, clock: Clock) -> None:
        """Take the OpenID metadata address. Raises AddressRefused unless it is https, or http on loopback."""
        checked(metadata_url)
        self._session = session
        self._metadata_url = metadata_url
        self._clock = clock
        self._keys: Mapping[str, SigningKey] = {}
        self._loaded_at: float | None = None
        self._tried_at: float | None = None
        self._answer = Answer(metadata_url[:LONGEST_SHOWN])
        self._failure: MicrosoftRefused | None = None  # of the last fetch
        self._ahead: float | None = None
        self._flight = SingleFlight(self._load)
        self._budget = SlidingWindow(UNKNOWN_FETCHES)
        self._missing: TTLCache[str, None] = TTLCache(MISSING_KEPT, MISSING_FOR, clock.epoch)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._flight.aclose()

    @property
    def ready(self) -> bool:
        """Whether there are keys that can be trusted now."""
        return self._age() <= TRUSTED_FOR

    @property
    def why_not(self) -> str:
        """What is wrong with the last fetch; empty if nothing is."""
        return f"{self._failure.code}, {self._failure.detail}" if self._failure else ""

    @property
    def microsoft_ahead(self) -> float | None:
        """The seconds that Microsoft's clock was ahead of ours at the last answer; None if no answer has come."""
        return self._ahead

    async def fetch(self) -> None:
        """Fetch the keys now. Raises MicrosoftRefused; the known keys then stay."""
        await self._flight.join()
        if self._failure:
            raise self._failure

    async def warm(self) -> bool:
        """Fetch keys if none can be trusted, for WAIT_LIMIT at most; return whether keys can be trusted now.

        Does not fetch them again within EMPTY_GAP, or within REFRESH_GAP if there are expired keys.
        """
        if not self.ready:
            await self._refresh()
        return self.ready

    async def find(self, kid: str) -> SigningKey | None:
        """Return a key by id; None if it is unknown. For an unknown id, fetch the keys first, for WAIT_LIMIT at most.

        Does not fetch them if too many ids were unknown, or if a recent fetch did not have this id.
        Raises KeysUnavailable as long as no fetch has succeeded.
        """
        if (known := self.trusted(kid)) is not None:
            if self._age() > REFRESH_AFTER and self._may_try():
                self._flight.start()  # runs in the background, so that a click does not wait
            return known
        await self._look_for(kid)
        if self._loaded_at is None:
            raise KeysUnavailable
        return self.trusted(kid)

    def trusted(self, kid: str) -> SigningKey | None:
        """Return a key by id if it is known and can be trusted now, else None. Never fetches keys."""
        return self._keys.get(kid) if self.ready else None

    def _age(self) -> float:
        return float("inf") if self._loaded_at is None else self._clock.epoch() - self._loaded_at

    def _may_try(self) -> bool:
        if self._tried_at is None:
            return True
        gap = EMPTY_GAP if self._loaded_at is None else REFRESH_GAP
        return not 0 <= self._clock.epoch() - self._tried_at < gap  # also True if the clock was set back

    async def _look_for(self, kid: str) -> None:
        """Fetch the keys for an unknown id, unless it is known to be missing, too long, or one of too many."""
        if self._flight.running() or not self.ready:
            await self._refresh()
        elif kid not in self._missing and len(kid) <= LONGEST_KID and self._budget.take(self._clock.epoch()):
            before = self._keys
            await self._flight.join_briefly(seconds=WAIT_LIMIT)
            if self._keys is not before and self.trusted(kid) is None:
                self._missing[kid] = None

    async def _refresh(self) -> None:
        if self._flight.running() or self._may_try():
            await self._flight.join_briefly(seconds=WAIT_LIMIT)

    async def _load(self) -> None:
        self._tried_at = self._clock.epoch()
        try:
            async with asyncio.timeout(FETCH_LIMIT):
                keys = await self._fetch()
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
            name, answer = type(error).__name__, self._answer
            self._failure = MicrosoftRefused(name, str(answer), answered=answer.status is not None)
            log.warning(
                "signing_keys_unavailable",
                error=name,
                url=answer.url,
                status=answer.status,
                content_type=answer.content_type,
                held=len(self._keys),
            )
            return
        self._failure = None
        self._keys, self._loaded_at = keys, self._clock.epoch()
        log.info("signing_keys_loaded", keys=len(keys))

    async def _fetch(self) -> Mapping[str, SigningKey]:
        metadata = await self._get(self._metadata_url)
        document = await self._get(str(metadata["jwks_uri"]))
        keys = {key.kid: key for key in _usable(document["keys"])}
        if not keys:
            raise ValueError("no usable key")
        return keys

    async def _get(self, url: str) -> dict[str, Any]:
        self._answer = Answer(url[:LONGEST_SHOWN])
        checked(url)
        async with self._session.get(url, allow_redirects=False) as answer:
            self._answer = Answer(url[:LONGEST_SHOWN], answer.status, answer.content_type[:LONGEST_SHOWN])
            self._note_time(answer.headers)
            if answer.status != 200:
                raise ValueError("status is not 200")
            return as_object(await read_bounded(answer))

    def _note_time(self, headers: Mapping[str, str]) -> None:
        """Read Microsoft's time from an answer. A cache keeps Date, and says in Age how many seconds it had the answer.

        https://www.rfc-editor.org/rfc/rfc9111#section-5.1
        """
        age = headers.get("Age", "")
        held = int(age) if _AGE.fullmatch(age) else 0
        with suppress(ValueError, TypeError):
            self._ahead = parsedate_to_datetime(headers.get("Date", "")).timestamp() + held - self._clock.epoch()


def _usable(entries: object) -> Iterator[SigningKey]:
    if not isinstance(entries, list):
        raise ValueError("no list of keys")  # noqa: TRY004 - one error for every malformed document
    for entry in entries:
        if isinstance(entry, dict) and (key := _parse(entry)) is not None:
            yield key


def _parse(entry: dict[str, Any]) -> SigningKey | None:
    kid = entry.get("kid")
    if not isinstance(kid, str) or entry.get("kty") != "RSA" or entry.get("use", "sig") != "sig":
        return None
    if entry.get("alg", ALGORITHM) != ALGORITHM:
        return None  # RFC 7517: the key is for another algorithm only
    try:
        public = RSAAlgorithm.from_jwk(json.dumps(entry))
    except (PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(public, RSAPublicKey) or public.key_size < SMALLEST_MODULUS:
        return None
    return SigningKey(kid=kid, public=public, endorsements=endorsements_of(entry))


def endorsements_of(entry: dict[str, Any]) -> frozenset[str]:
    """Return the channels for which a key signs; empty if the key does not list them."""
    # Microsoft documents endorsements for each key; it is not verified that every live key has them. A token of a key
    # without endorsements is refused: log event `activity_refused`, reason `channel`. Microsoft's SDK accepts such a
    # token, Microsoft's documentation says to refuse it.
    listed = entry.get("endorsements")
    if not isinstance(listed, list):
        return frozenset()
    return frozenset(channel for channel in listed if isinstance(channel, str))
