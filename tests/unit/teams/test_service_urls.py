"""Tests for bot.teams.outbound.service_urls: the last URL that Teams sent, if the bot's token may be sent to it."""

from bot.domain.identity import Person
from bot.ports.store import PersonalChat
from bot.service.checks.outcomes import Outcomes
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.service_urls import REMEMBERED, ServiceUrls
from tests.fakes.clock import ManualClock
from tests.fakes.store import MemoryStore

DEFAULT = "https://smba.trafficmanager.net/teams/"
AMER = "https://smba.trafficmanager.net/amer/"
CHANNEL = "19:approvers@thread.tacv2"
PERSON = Person("aaaaaaaa-0000-4000-8000-000000000001", "t")


def _urls(store: MemoryStore, clock: ManualClock | None = None) -> ServiceUrls:
    clock = clock or ManualClock()
    hosts = ServiceHosts(["smba.trafficmanager.net"])
    return ServiceUrls(store, default=DEFAULT, hosts=hosts, outcomes=Outcomes(clock), clock=clock)


async def test_a_conversation_without_activities_gets_the_configured_url() -> None:
    """The bot posts the first card before Teams has sent any activity."""
    assert await _urls(MemoryStore()).of(CHANNEL) == DEFAULT


async def test_the_service_url_of_a_thread_is_used_for_its_channel_after_a_restart() -> None:
    """The URL is stored for the channel, without the thread."""
    store = MemoryStore()
    urls = _urls(store)
    urls.learn(f"{CHANNEL};messageid=1", AMER)
    await urls.drain()

    assert await _urls(store).of(CHANNEL) == AMER
    assert await _urls(store).of(f"{CHANNEL};messageid=2") == AMER


async def test_a_service_url_that_another_process_has_learned_is_used_within_a_minute() -> None:
    """Each process that has received nothing from a conversation reads its URL once a minute."""
    store, clock = MemoryStore(), ManualClock()
    urls, other = _urls(store, clock), _urls(store, clock)
    assert await urls.of(CHANNEL) == DEFAULT
    other.learn(CHANNEL, AMER)
    await other.drain()

    await clock.advance(59)
    assert await urls.of(CHANNEL) == DEFAULT
    await clock.advance(1)
    assert await urls.of(f"{CHANNEL};messageid=1") == AMER
    store.tables.service_urls = {}
    assert await urls.of(f"{CHANNEL};messageid=2") == AMER
    assert await urls.of(CHANNEL) == AMER


async def test_a_received_service_url_is_used_at_once_in_place_of_one_that_was_read() -> None:
    """It stays so when many other conversations have displaced the received one in memory."""
    urls = _urls(MemoryStore())
    assert await urls.of(CHANNEL) == DEFAULT
    urls.learn(CHANNEL, AMER)
    assert await urls.of(CHANNEL) == AMER
    for number in range(REMEMBERED):
        urls.learn(f"19:{number}@thread.tacv2", DEFAULT)
    await urls.drain()
    assert await urls.of(CHANNEL) == AMER


async def test_a_failed_read_of_the_store_is_repeated_at_once() -> None:
    """Otherwise a store that fails for a moment would cost a minute."""
    store = MemoryStore()
    store.tables.service_urls = {CHANNEL: AMER}
    urls = _urls(store)
    store.broken = True
    assert await urls.of(CHANNEL) == DEFAULT
    store.broken = False
    assert await urls.of(CHANNEL) == AMER


async def test_a_service_url_with_an_unlisted_host_is_not_stored() -> None:
    """Otherwise the bot's token would be sent to that host."""
    store = MemoryStore()
    urls = _urls(store)
    for address in ("https://evil.example/", "http://smba.trafficmanager.net/", "https://smba.trafficmanager.net/?q"):
        urls.learn(CHANNEL, address)
        await urls.drain()

    assert (await urls.of(CHANNEL), store.tables.service_urls) == (DEFAULT, {})


async def test_a_stored_service_url_is_checked_again_before_use() -> None:
    """The list of hosts may be shorter now, and others may write to the store.

    A URL that is not valid is replaced by the configured one.
    """
    store = MemoryStore()
    for address in ("https://evil.example/", "http://smba.trafficmanager.net/", "https://smba.trafficmanager.net:1/"):
        store.tables.service_urls = {CHANNEL: address}
        assert await _urls(store).of(CHANNEL) == DEFAULT
        assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", address)) == DEFAULT
    assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", "")) == DEFAULT
    assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", AMER)) == AMER


async def test_service_url_of_the_last_activity_is_used_while_the_store_is_unavailable() -> None:
    """If a read fails, the configured URL is used. If a write fails, the next activity repeats it.

    This process uses the new URL immediately.
    """
    store = MemoryStore()
    urls = _urls(store)
    store.broken = True
    assert await urls.of(CHANNEL) == DEFAULT
    urls.learn(CHANNEL, AMER)
    await urls.drain()
    assert await urls.of(CHANNEL) == AMER

    store.broken = False
    urls.learn(CHANNEL, AMER)
    await urls.drain()
    assert store.tables.service_urls == {CHANNEL: AMER}


async def test_only_a_changed_service_url_is_written_to_the_store() -> None:
    """Many clicks with one URL cause one write. A new URL replaces the old one."""
    store = MemoryStore()
    urls = _urls(store)
    urls.learn(CHANNEL, AMER)
    await urls.drain()
    store.broken = True
    urls.learn(CHANNEL, AMER)
    await urls.drain()
    assert await urls.of(CHANNEL) == AMER

    store.broken = False
    urls.learn(CHANNEL, DEFAULT)
    await urls.drain()
    assert store.tables.service_urls == {CHANNEL: DEFAULT}
    urls.learn(CHANNEL, None)
    await urls.drain()
    assert await urls.of(CHANNEL) == DEFAULT
