"""Figure 16: who may do what, from where and when: all that should be refused is refused, and nothing reaches AWS."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.service.clicks.click import Answer, Click, Verb
from bot.service.commands import CommandService
from bot.service.sources.installation_events import InstallationEvents
from bot.teams.assembly import TeamsSide
from bot.telemetry import Telemetry
from bot.web import server
from tests.fakes import activities
from tests.fakes.chat import HANAKO
from tests.fakes.clock import ManualClock
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import FOREIGN_TENANT_ID
from tests.fakes.store import MemoryStore
from tests.fakes.turns import microsoft_side
from tests.fakes.world import World, new_world
from tests.figures import Figure
from tests.security.forged_tokens import FORGED
from tests.security.matrix import ACTORS, CLAIMS, FORGERIES, ROUTES, STATES, Route, State, may, on_the_wire

SERVED = 200
HOME = ROUTES["card in the thread"]


class Door:
    """The real edge over HTTP, behind which one world after the other is put."""

    def __init__(self, microsoft: FakeMicrosoft, url: str) -> None:
        self.microsoft, self.url = microsoft, url
        self.world: World

    async def click(self, click: Click) -> Answer:
        """Answer as the world of this moment does."""
        return await self.world.click_handler.click(click)


@asynccontextmanager
async def _door() -> AsyncIterator[Door]:
    clock, anybody = ManualClock(), new_world()
    async with AsyncExitStack() as stack:
        microsoft = await stack.enter_async_context(FakeMicrosoft(now=clock.epoch))
        telemetry = Telemetry(CollectorRegistry())
        side = TeamsSide(
            microsoft_side(microsoft),
            store=MemoryStore(),
            configuration=anybody.configuration,
            clock=clock,
            telemetry=telemetry,
        )
        teams = await stack.enter_async_context(side)
        door = Door(microsoft, "")
        commands = CommandService(
            rows=anybody.rows, people=anybody.people, clock=clock, configuration=anybody.configuration
        )
        installs = InstallationEvents(rows=anybody.rows, clock=clock, telemetry=telemetry)
        app = server.build_app(messages=teams.attach(door, commands, installs), ready=teams.missing)
        listening = await stack.enter_async_context(server.listen(app, host="127.0.0.1", port=0))
        door.url = f"http://127.0.0.1:{listening.port}"
        yield door


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    """An open edge."""
    async with _door() as opened:
        yield opened


def _data(key: RequestKey, verb: Verb, state: State) -> dict[str, Any]:
    return {"request": str(key), "step": "" if verb is Verb.CANCEL else state.step, "comment": "ok"}


def _body(door: Door, verb: Verb, data: dict[str, Any], actor: Person, route: Route, **fields: Any) -> dict[str, Any]:
    common: dict[str, Any] = {
        "sender": on_the_wire(actor),
        "place": route.place(actor),
        "service_url": door.microsoft.service_url,
    }
    reply_to = "1001" if route.personal else "1000"
    if route.submitted:
        body = activities.submitted({"verb": verb.value, **data}, **common, replyToId=reply_to, **fields)
    else:
        body = activities.invoke(verb.value, data, **common, reply_to=reply_to, **fields)
    if not actor.object_id:
        del body["from"]["aadObjectId"]
    return body


class Cells:
    """Goes through cells of one state, each on a world in which nothing was decided."""

    def __init__(self, door: Door, name: str) -> None:
        self.door, self.name, self.state = door, name, STATES[name]
        self.key: RequestKey
        self.counted: Counter[str] = Counter()

    @asynccontextmanager
    async def _fresh(self) -> AsyncIterator[None]:
        self.door.world, self.key = await self.state.make()
        self.door.world.aws.signals.clear()
        async with self.door.world.running():
            yield

    async def walk(self, presses: list[tuple[Any, ...]]) -> None:
        """Press; a world that something was decided in is put away."""
        waiting = list(reversed(presses))
        while waiting:
            async with self._fresh():
                while waiting and not self.door.world.aws.signals:
                    await self._press(*waiting.pop())

    async def _press(
        self, verb: Verb, actor: str, route: str, forged: str | None = None, claims: bool = False, **sent: Any
    ) -> None:
        data = _data(self.key, verb, self.state)
        data = FORGERIES[forged](data) if forged else data
        data = {**data, **CLAIMS} if claims else data
        body = _body(self.door, verb, data, ACTORS[actor], ROUTES[route])
        status, _ = await self.door.microsoft.send(self.door.url, {**body, **sent})
        await self.door.world.click_handler.drain()
        expected = may(verb, actor, route, self.state, forged=forged)
        cell = (verb, actor, route, self.name, forged, claims)
        assert status < 500, cell
        assert [str(signal.verdict) for signal in self.door.world.aws.signals] == ([verb] if expected else []), cell
        self.counted["allowed" if expected else "refused"] += 1
        self.counted[f"status {status}"] += 1


@pytest.mark.parametrize("state", STATES)
async def test_whoever_may_not_is_refused_and_nothing_reaches_aws(state: str, door: Door, figure: Figure) -> None:
    """Every verb of everybody from everywhere; where it is allowed, exactly one call leaves, or the test is blind."""
    cells = Cells(door, state)
    await cells.walk([(verb, actor, route) for verb in Verb for actor in ACTORS for route in ROUTES])
    assert cells.counted["refused"] + cells.counted["allowed"] == len(Verb) * len(ACTORS) * len(ROUTES)
    assert bool(cells.counted["allowed"]) == (cells.state.pending or cells.state.granted or cells.state.cancellable)
    figure(16, state=state, cells=len(Verb) * len(ACTORS) * len(ROUTES), **cells.counted, signals_of_refused=0)


@pytest.mark.parametrize("state", ["waiting", "granted"])
async def test_a_forged_card_decides_nothing(state: str, door: Door, figure: Figure) -> None:
    """Whatever of a card's data is forged, by whomever: what decides is looked up anew, or it is refused."""
    cells = Cells(door, state)
    routes = ("card in the thread", "old client in the thread", "the requester's chat")
    verbs = [verb for verb in Verb if verb is not Verb.REFRESH]
    await cells.walk(
        [(verb, actor, route, forged) for verb in verbs for actor in ACTORS for route in routes for forged in FORGERIES]
    )
    assert cells.counted["allowed"] == 0
    figure(16, state=state, cells=cells.counted.total() // 2, forged=len(FORGERIES), **cells.counted)


@pytest.mark.parametrize("state", ["waiting", "granted"])
async def test_what_a_card_says_of_people_changes_nothing(state: str, door: Door, figure: Figure) -> None:
    """A card that claims to know who presses, who approves or how the request stands is not believed."""
    cells = Cells(door, state)
    await cells.walk([(verb, actor, route, None, True) for verb in Verb for actor in ACTORS for route in ROUTES])
    assert cells.counted["allowed"] > 0
    figure(16, state=state, claims=len(CLAIMS), cells=cells.counted.total() // 2, **cells.counted)


def _tokens(door: Door) -> dict[str, str]:
    """Return what may stand in the place of a good token: the headers, by what is wrong with them."""
    signer, service = door.microsoft.signer, door.microsoft.service_url
    good = signer.header(service)
    head, payload, _ = good.removeprefix("Bearer ").split(".")
    signer.publish("for nobody", endorsements=())
    return {name: f"Bearer {forge(signer, service)}" for name, forge in FORGED.items()} | {
        "none": "Bearer",
        "another scheme": good.replace("Bearer", "Basic"),
        "no signature": f"Bearer {head}.{payload}.",
        "cut": good[:-5],
        "of another service": signer.header("https://attacker.example/"),
        "of a key that signs for no channel": f"Bearer {signer.token(signer.claims(service), kid='for nobody')}",
    }


async def test_a_token_that_does_not_hold_decides_nothing(door: Door, figure: Figure) -> None:
    """The approver's own good click under each token that must not be believed: 401, and nothing reaches AWS."""
    tokens = _tokens(door)
    state = STATES["waiting"]
    door.world, key = await state.make()
    async with door.world.running():
        for name, header in tokens.items():
            for verb in Verb:
                body = _body(door, verb, _data(key, verb, state), HANAKO, HOME)
                status, _ = await door.microsoft.send(door.url, body, authorization=header)
                assert status == 401, name
        for changed in ({"serviceUrl": "https://attacker.example/"}, {"channelId": "webchat"}, {"channelId": None}):
            body = {**_body(door, Verb.APPROVE, _data(key, Verb.APPROVE, state), HANAKO, HOME), **changed}
            good = door.microsoft.signer.header(door.microsoft.service_url)
            status, _ = await door.microsoft.send(door.url, body, authorization=good)
            assert status in {401, 403}, changed
        assert door.world.aws.signals == []
        assert (
            await door.microsoft.send(
                door.url, _body(door, Verb.APPROVE, _data(key, Verb.APPROVE, state), HANAKO, HOME)
            )
        )[0] == SERVED
    assert len(door.world.aws.signals) == 1
    figure(16, tokens=len(tokens), cells=len(tokens) * len(Verb) + 3, refused=len(tokens) * len(Verb) + 3, signals=0)


@pytest.mark.parametrize("actor", ["approver", "guest listed by id"])
async def test_a_person_of_another_tenant_is_told_by_the_activity_too(actor: str, door: Door) -> None:
    """Who is named with another tenant in the activity is of another tenant, unless listed by id."""
    state = STATES["waiting"]
    door.world, key = await state.make()
    async with door.world.running():
        body = _body(door, Verb.APPROVE, _data(key, Verb.APPROVE, state), ACTORS[actor], HOME)
        body["from"]["tenantId"] = FOREIGN_TENANT_ID
        await door.microsoft.send(door.url, body)
    assert len(door.world.aws.signals) == (actor == "guest listed by id")


def test_every_verb_and_route_is_in_the_matrix() -> None:
    """A verb, or a route of the servers, that is added without a row here turns this red."""
    assert set(Verb) == {Verb.APPROVE, Verb.REJECT, Verb.CANCEL, Verb.REVOKE, Verb.REFRESH}

    async def nothing(*_: Any) -> Any:
        return {}

    apps = (server.build_app(messages=nothing, ready=nothing), server.build_metrics_app(CollectorRegistry()))
    found = {
        (route.method, route.resource.canonical) for app in apps for route in app.router.routes() if route.resource
    }
    assert found == {
        ("POST", "/api/messages"),  # the matrix
        *(
            (method, path) for method in ("GET", "HEAD") for path in ("/livez", "/readyz", "/metrics")
        ),  # tell, and take nothing
    }
