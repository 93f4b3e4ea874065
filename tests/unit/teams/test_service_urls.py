"""Where messages go: what Teams said last, if the bot's token may be sent there."""

from bot.domain.identity import Person
from bot.ports.store import PersonalChat
from bot.teams.net.addresses import ServiceHosts
from bot.teams.outbound.service_urls import ServiceUrls
from tests.fakes.store import MemoryStore

DEFAULT = "https://smba.trafficmanager.net/teams/"
AMER = "https://smba.trafficmanager.net/amer/"
CHANNEL = "19:approvers@thread.tacv2"
PERSON = Person("aaaaaaaa-0000-4000-8000-000000000001", "t")


def _urls(store: MemoryStore) -> ServiceUrls:
    return ServiceUrls(store, default=DEFAULT, hosts=ServiceHosts(["smba.trafficmanager.net"]))


async def test_a_conversation_that_said_nothing_gets_the_configured_address() -> None:
    """The first card goes out before Teams ever spoke to the bot."""
    assert await _urls(MemoryStore()).of(CHANNEL) == DEFAULT


async def test_what_a_thread_said_holds_for_its_channel_and_after_a_restart() -> None:
    """It is kept in the store, for the conversation without its thread."""
    store = MemoryStore()
    await _urls(store).learn(f"{CHANNEL};messageid=1", AMER)

    assert await _urls(store).of(CHANNEL) == AMER
    assert await _urls(store).of(f"{CHANNEL};messageid=2") == AMER


async def test_a_host_that_is_not_listed_is_not_remembered() -> None:
    """The bot's token would be sent there."""
    store = MemoryStore()
    urls = _urls(store)
    for address in ("https://evil.example/", "http://smba.trafficmanager.net/", "https://smba.trafficmanager.net/?q"):
        await urls.learn(CHANNEL, address)

    assert (await urls.of(CHANNEL), store.tables.service_urls) == (DEFAULT, {})


async def test_what_is_stored_is_checked_as_what_comes_in() -> None:
    """The list may have become shorter, and others may write to a store: then the configured address is used."""
    store = MemoryStore()
    for address in ("https://evil.example/", "http://smba.trafficmanager.net/", "https://smba.trafficmanager.net:1/"):
        store.tables.service_urls = {CHANNEL: address}
        assert await _urls(store).of(CHANNEL) == DEFAULT
        assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", address)) == DEFAULT
    assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", "")) == DEFAULT
    assert await _urls(store).of_chat(PersonalChat(PERSON, "a:1", AMER)) == AMER


async def test_a_broken_store_stops_nobody() -> None:
    """Reading falls back to the configured address; what could not be written is written the next time."""
    store = MemoryStore()
    urls = _urls(store)
    store.broken = True
    await urls.learn(CHANNEL, AMER)
    assert await urls.of(CHANNEL) == DEFAULT

    store.broken = False
    await urls.learn(CHANNEL, AMER)
    assert store.tables.service_urls == {CHANNEL: AMER}


async def test_only_what_is_new_is_written() -> None:
    """A rush of clicks writes once; a new address replaces the old one."""
    store = MemoryStore()
    urls = _urls(store)
    await urls.learn(CHANNEL, AMER)
    store.broken = True
    await urls.learn(CHANNEL, AMER)
    assert await urls.of(CHANNEL) == AMER

    store.broken = False
    await urls.learn(CHANNEL, DEFAULT)
    assert store.tables.service_urls == {CHANNEL: DEFAULT}
    await urls.learn(CHANNEL, None)
    assert await urls.of(CHANNEL) == DEFAULT
