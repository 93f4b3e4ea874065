"""The bot's token goes only to listed hosts, and its credential only to the login, regardless of stored or sent URLs.

A server under a name that is not listed runs beside the fake Microsoft. It must receive nothing.
"""

import ast
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.domain.identity import Person
from bot.ports.store import PersonalChat
from bot.ports.teams import ChatRefused, ChatUnavailable, Message
from tests.fakes.clock import ManualClock
from tests.fakes.edge import Edge, Ticker, running_edge
from tests.fakes.listening import listening
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO, TENANT_ID
from tests.fakes.teams_world import APPROVERS
from tests.fakes.turns import Turns, running_turns

ROOT = Path(__file__).parents[2]
PERSON = Person(HANAKO.object_id, TENANT_ID, upn=HANAKO.upn)
MESSAGE = Message({"type": "AdaptiveCard", "version": "1.5", "body": []}, "a line")


class UnlistedServer:
    """A server on this machine under a name that is not listed. `received` has the requests that it got."""

    def __init__(self) -> None:
        self.url, self.received = "", list[str]()

    async def handle(self, request: web.Request) -> web.Response:
        self.received.append(f"{request.method} {request.path} {request.headers} {await request.text()}")
        return web.json_response({"id": "1", "access_token": "x", "expires_in": 3600})


@pytest.fixture
async def unlisted() -> AsyncIterator[UnlistedServer]:
    """Run the server that is not listed."""
    made = UnlistedServer()
    async with listening(made.handle) as port:
        made.url = f"http://localhost:{port}/teams/"
        yield made


@pytest.fixture
def clock() -> ManualClock:
    """Return a clock that the test moves."""
    return ManualClock()


@pytest.fixture
async def ms(clock: ManualClock) -> AsyncIterator[FakeMicrosoft]:
    """Run a fake Microsoft with this clock."""
    async with FakeMicrosoft(now=clock.epoch) as fake:
        yield fake


@pytest.fixture
async def bot(ms: FakeMicrosoft, clock: ManualClock) -> AsyncIterator[Turns]:
    """Run the bot's Teams side with the fake Microsoft."""
    async with running_turns(ms, clock=clock) as running:
        yield running


async def test_stored_address_of_an_unlisted_host_is_not_used(
    ms: FakeMicrosoft, bot: Turns, unlisted: UnlistedServer
) -> None:
    """Cards, updates, replies, direct messages and roster reads go to the configured address instead, and succeed."""
    personal = ms.world.personal(HANAKO).id
    bot.store.tables.service_urls |= {APPROVERS: unlisted.url, personal: unlisted.url}
    await bot.store.remember_chat(PersonalChat(PERSON, personal, unlisted.url))

    posted = await bot.side.chat.post(APPROVERS, MESSAGE)
    await bot.side.chat.update(posted, MESSAGE)
    await bot.side.chat.reply(posted, MESSAGE)
    direct = await bot.side.chat.direct(PERSON, MESSAGE)
    member = await bot.side.people.member(APPROVERS, HANAKO.object_id)

    assert unlisted.received == []
    assert (len(ms.posted(posted.conversation)), direct.conversation) == (2, personal)
    assert member is not None


async def test_service_url_of_an_unlisted_host_is_not_stored(
    ms: FakeMicrosoft, bot: Turns, unlisted: UnlistedServer
) -> None:
    """Even if the Bot Framework signed the URL, nothing is sent there. Later cards and direct messages still succeed."""
    seen_as, ms.seen_as = ms.seen_as, unlisted.url.removesuffix("/teams/")
    for place in (APPROVERS, ms.world.personal(HANAKO).id):
        status, _ = await ms.post_message(bot.url, HANAKO, place, "help")
        assert status == 200
    ms.seen_as = seen_as

    assert bot.commands.messages != []
    assert unlisted.received == []
    assert unlisted.url not in bot.store.tables.service_urls.values()
    assert await bot.side.chat.post(APPROVERS, MESSAGE)
    assert await bot.side.chat.direct(PERSON, MESSAGE)
    assert unlisted.received == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_of_login_connector_and_signing_keys_are_not_followed(
    ms: FakeMicrosoft, unlisted: UnlistedServer, status: int
) -> None:
    """At least one call fails, and the server to which the calls are redirected gets no request."""
    for path in ("token$", "openidconfiguration$", "/v3/"):
        async with running_edge(ms, clock=Ticker()) as edge:
            for method in ("GET", "POST", "PUT"):
                ms.fault(method, path, status=status, headers={"Location": unlisted.url}, times=None)
            assert await _something_fails(edge, ms.service_url)
            ms.faults.heal()
    assert unlisted.received == []


async def _something_fails(edge: Edge, service_url: str) -> bool:
    """Fetch the signing keys and make three calls to the Connector. Return True if at least one of them failed."""
    connector, failed = edge.connector, not await edge.keys.warm()
    for call in (
        connector.post_to_conversation(service_url, conversation=APPROVERS, activity={}),
        connector.update_activity(service_url, conversation=APPROVERS, activity_id="1", activity={}),
        connector.get_member(service_url, conversation=APPROVERS, member=HANAKO.object_id),
    ):
        try:
            await call
        except (ChatRefused, ChatUnavailable):
            failed = True
    return failed


# --- checks of the source code: no other module sends


def method_calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield the method calls of a module, with the method's name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, node


def modules_calling(name: str) -> set[str]:
    """Return the modules of the product that call a method of that name."""
    product = (path for path in (ROOT / "bot").rglob("*.py") if "sandbox" not in path.parts)
    return {path.stem for path in product for attribute, _ in method_calls(path) if attribute == name}


def test_only_the_modules_that_check_the_host_read_the_bearer_token() -> None:
    """They are bot.teams.outbound.calls and bot.teams.groups.graph. No other module calls `bearer`."""
    assert modules_calling("bearer") == {"calls", "graph"}


def test_only_modules_that_send_a_secret_read_its_value() -> None:
    """There is one exception: the settings read the value to check that it is not empty."""
    sending = {"calls", "client_authentication", "graph", "managed_identity"}
    assert modules_calling("get_secret_value") == {*sending, "settings"}


def test_every_http_request_of_the_teams_adapters_disables_redirects() -> None:
    """Every call of an aiohttp session in bot.teams passes `allow_redirects=False`."""
    found: dict[str, list[Any]] = {}
    for path in (ROOT / "bot" / "teams").rglob("*.py"):
        for name, call in method_calls(path):
            owner = ast.unparse(call.func)
            if name in {"get", "post", "put", "delete", "patch", "head", "request"} and "session" in owner:
                following = {word.arg: ast.unparse(word.value) for word in call.keywords}.get("allow_redirects")
                found.setdefault(path.stem, []).append(following)
    assert found == {name: ["False"] for name in ("calls", "entra", "graph", "keys", "managed_identity")}


async def test_unlisted_host_is_refused_before_a_token_is_fetched(
    ms: FakeMicrosoft, bot: Turns, unlisted: UnlistedServer
) -> None:
    """The bot checks the host first: it neither fetches a token nor sends the request."""
    with pytest.raises(ChatRefused) as refused:
        await bot.side._connector.post_to_conversation(unlisted.url, conversation=APPROVERS, activity={})
    assert refused.value.detail == "host_not_listed"
    assert (unlisted.received, ms.faults.matching("POST", "token$")) == ([], [])
