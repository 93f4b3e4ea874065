"""Figure 16: every verb, actor, route and state. Clicks without permission are refused, and nothing reaches AWS."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bot.domain.identity import Person
from bot.domain.request import RequestKey
from bot.service.clicks.click import OF_REQUESTER, Answer, Click, Verb
from bot.service.sources.installation_events import InstallationEvents
from bot.teams.assembly import TeamsSide
from bot.telemetry import Telemetry
from bot.web import server
from tests.fakes import activities
from tests.fakes.chat import HANAKO
from tests.fakes.clock import ManualClock, settled
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import FOREIGN_TENANT_ID
from tests.fakes.store import MemoryStore
from tests.fakes.turns import microsoft_side
from tests.fakes.world import World, new_world
from tests.figures import Figure
from tests.security.forged_tokens import FORGED
from tests.security.matrix import (
    ACTORS,
    CLAIMS,
    FORGERIES,
    ROUTES,
    STATES,
    Route,
    State,
    as_sender,
    clicks_in,
    is_allowed,
    is_ended,
    is_marked,
)

pytestmark = pytest.mark.usefixtures("silence")  # the log of ten thousand clicks helps no one

SERVED = 200
HOME = ROUTES["card in the thread"]
DECIDING = [verb for verb in Verb if verb is not Verb.REFRESH]
CARDS = ("card in the thread", "old client in the thread", "the requester's chat")


class MatrixEdge:
    """The real HTTP endpoint. Its clicks go to the current `world`, which the test replaces."""

    def __init__(self, microsoft: FakeMicrosoft, url: str) -> None:
        self.microsoft, self.url = microsoft, url
        self.world: World

    async def click(self, click: Click) -> Answer:
        """Pass the click to the current world."""
        return await self.world.click_handler.click(click)

    async def refresh(self, click: Click) -> Mapping[str, object] | None:
        """Pass the automatic refresh to the current world."""
        return await self.world.click_handler.refresh(click)


@asynccontextmanager
async def _running_edge() -> AsyncIterator[MatrixEdge]:
    clock, configured = ManualClock(), new_world()
    async with AsyncExitStack() as stack:
        microsoft = await stack.enter_async_context(FakeMicrosoft(now=clock.epoch))
        telemetry = Telemetry(CollectorRegistry())
        side = TeamsSide(
            microsoft_side(microsoft),
            store=MemoryStore(),
            configuration=configured.configuration,
            clock=clock,
            telemetry=telemetry,
            outcomes=configured.outcomes,
        )
        teams = await stack.enter_async_context(side)
        edge = MatrixEdge(microsoft, "")
        installs = InstallationEvents(rows=configured.rows, clock=clock, telemetry=telemetry)
        app = server.build_app(messages=teams.attach(edge, configured.commands, installs), ready=teams.missing)
        listening = await stack.enter_async_context(server.listen(app, host="127.0.0.1", port=0))
        edge.url = f"http://127.0.0.1:{listening.port}"
        yield edge


@pytest.fixture
async def edge() -> AsyncIterator[MatrixEdge]:
    """Return the endpoint of a running server."""
    async with _running_edge() as opened:
        yield opened


def _data(key: RequestKey, verb: Verb, state: State, route: Route) -> dict[str, Any]:
    own = verb in OF_REQUESTER or (verb is Verb.END_SESSIONS and route.personal)
    return {"request": str(key), "step": "" if own else state.step, "comment": "ok"}


def _body(
    edge: MatrixEdge, verb: Verb, data: dict[str, Any], actor: Person, route: Route, **fields: Any
) -> dict[str, Any]:
    common: dict[str, Any] = {
        "sender": as_sender(actor),
        "place": route.place(actor),
        "service_url": edge.microsoft.service_url,
    }
    reply_to = "1001" if route.personal else "1000"
    if route.submitted:
        body = activities.submitted({"verb": verb.value, **data}, **common, replyToId=reply_to, **fields)
    else:
        body = activities.invoke(verb.value, data, **common, reply_to=reply_to, **fields)
    if not actor.object_id:
        del body["from"]["aadObjectId"]
    return body


class MatrixRun:
    """Clicks on a request in one state. Each is made in a world in which no earlier click has reached AWS."""

    def __init__(self, edge: MatrixEdge, name: str) -> None:
        self.edge, self.name, self.state = edge, name, STATES[name]
        self.key: RequestKey
        self.counted: Counter[str] = Counter()

    @property
    def cells(self) -> int:
        """How many clicks were made. Automatic refreshes are counted for themselves."""
        return self.counted["refused"] + self.counted["allowed"]

    @asynccontextmanager
    async def _new_state(self) -> AsyncIterator[None]:
        self.edge.world, self.key = await self.state.make()
        self.edge.world.aws.signals.clear()
        async with self.edge.world.running():
            yield

    async def click_all(self, clicks: list[tuple[Any, ...]]) -> None:
        """Make each click and check its effect. Start a new world after each click that reached AWS."""
        waiting = list(reversed(clicks))
        while waiting:
            async with self._new_state():
                while waiting and not self.edge.world.aws.signals:
                    await self._click_and_compare(*waiting.pop())

    async def _click_and_compare(
        self, verb: Verb, actor: str, route: str, forged: str | None = None, claims: bool = False, **sent: Any
    ) -> None:
        data = _data(self.key, verb, self.state, ROUTES[route])
        data = FORGERIES[forged](data) if forged else data
        data = {**data, **CLAIMS} if claims else data
        body = _body(self.edge, verb, data, ACTORS[actor], ROUTES[route])
        if verb is Verb.REFRESH and not ROUTES[route].submitted:
            await self._refresh_and_compare({**body, **sent}, (actor, route, self.name, forged))
        status, _ = await self.edge.microsoft.send(self.edge.url, {**body, **sent})
        await self.edge.world.click_handler.drain()
        expected = is_allowed(verb, actor, route, self.state, forged=forged)
        cell = (verb, actor, route, self.name, forged, claims)
        assert status < 500, cell
        signal = Verb.REVOKE if verb is Verb.END_SESSIONS else verb
        assert [str(each.action) for each in self.edge.world.aws.signals] == ([signal] if expected else []), cell
        ended = verb is Verb.END_SESSIONS and is_ended(actor, route, self.state, forged=forged)
        assert await self._endings() == ([ACTORS[actor].user] if ended else []), cell
        marked = verb is Verb.REVIEWING and is_marked(actor, route, self.state, forged=forged)
        assert await self._marks() == ([ACTORS[actor].user] if marked else []), cell
        self.counted["allowed" if expected else "refused"] += 1
        self.counted[f"status {status}"] += 1
        self.counted["marked"] += marked
        self.counted["ended"] += ended

    async def _refresh_and_compare(self, body: dict[str, Any], cell: tuple[Any, ...]) -> None:
        """Send the refresh of a client, without a click, and check that it changes nothing anywhere."""
        await settled()  # the row of an earlier click may still be due
        before = self._everything()
        automatic = {**body, "value": {**body["value"], "trigger": "automatic"}}
        status, _ = await self.edge.microsoft.send(self.edge.url, automatic)
        await settled()
        assert status < 500, cell
        assert self._everything() == before, cell
        self.counted["refreshed"] += 1

    def _everything(self) -> tuple[object, ...]:
        """Return what a click could change: the row, the audit trail, what is in Teams, and the calls to AWS."""
        world = self.edge.world
        assert isinstance(world.store, MemoryStore)
        tables, sent = world.store.tables, [len(each.versions) for each in world.chat.sent.values()]
        return dict(tables.records), len(tables.audit), sent, len(world.aws.calls)

    async def _endings(self) -> list[str]:
        """Return who ends sessions by the row, and remove that."""
        row = await self.edge.world.store.load(self.key)
        if row is None or not row.endings:
            return []
        await self.edge.world.rows.apply(self.key, lambda record: replace(record, endings=()))
        return [each.person.user for each in row.endings]

    async def _marks(self) -> list[str]:
        """Return who is marked as a reviewer in the row, and remove the marks."""
        row = await self.edge.world.store.load(self.key)
        if row is None or not row.reviews:
            return []
        await self.edge.world.rows.apply(self.key, lambda record: replace(record, reviews=()))
        return [each.user for each in row.reviews]


@pytest.mark.parametrize("state", STATES)
async def test_click_without_permission_sends_no_signal_to_aws(state: str, edge: MatrixEdge, figure: Figure) -> None:
    """Each pair of verb, actor and route is tried, and by `make proofs` each combination of the three.

    As a positive control, each allowed click sends exactly one signal. Automatic refreshes change nothing anywhere.
    """
    run, clicks = MatrixRun(edge, state), list(clicks_in(state))
    await run.click_all(clicks)
    assert run.cells == len(clicks)
    state_allows = run.state.pending or run.state.granted or run.state.cancellable or run.state.returnable
    assert bool(run.counted["allowed"]) == state_allows
    assert bool(run.counted["marked"]) == run.state.pending
    assert bool(run.counted["ended"]) == (run.state.granted or run.state.over)
    figure(16, state=state, cells=len(clicks), **run.counted, signals_of_refused=0)


@pytest.mark.parametrize("state", ["waiting", "granted"])
async def test_click_with_forged_card_data_sends_no_signal_to_aws(state: str, edge: MatrixEdge, figure: Figure) -> None:
    """The bot uses the facts of AWS and of the stored row. No actor's click is an exception."""
    run = MatrixRun(edge, state)
    await run.click_all(list(clicks_in(state, verbs=DECIDING, routes=CARDS, forgeries=FORGERIES)))
    assert run.counted["allowed"] == 0
    figure(16, state=state, cells=run.cells, forged=len(FORGERIES), **run.counted)


@pytest.mark.parametrize("state", ["waiting", "granted"])
async def test_claims_in_card_data_change_no_permission(state: str, edge: MatrixEdge, figure: Figure) -> None:
    """Members about the clicker, the approvers or the status of the request are ignored."""
    run = MatrixRun(edge, state)
    await run.click_all([(*click, True) for click in clicks_in(state)])
    assert run.counted["allowed"] > 0
    figure(16, state=state, claims=len(CLAIMS), cells=run.cells, **run.counted)


def _tokens(edge: MatrixEdge) -> dict[str, str]:
    """Return invalid Authorization headers, each by the name of its fault."""
    signer, service = edge.microsoft.signer, edge.microsoft.service_url
    good = signer.header(service)
    head, payload, _ = good.removeprefix("Bearer ").split(".")
    signer.publish("for no channel", endorsements=())
    return {name: f"Bearer {forge(signer, service)}" for name, forge in FORGED.items()} | {
        "none": "Bearer",
        "another scheme": good.replace("Bearer", "Basic"),
        "no signature": f"Bearer {head}.{payload}.",
        "cut": good[:-5],
        "for another service": signer.header("https://attacker.example/"),
        "by a key that endorses no channel": f"Bearer {signer.token(signer.claims(service), kid='for no channel')}",
    }


async def test_click_with_an_invalid_token_is_refused_and_sends_no_signal(edge: MatrixEdge, figure: Figure) -> None:
    """The click is an approver's. It is also refused if its fields do not fit its token. The answer is 401 or 403.

    As a positive control, a valid click sends one signal.
    """
    tokens = _tokens(edge)
    state = STATES["waiting"]
    edge.world, key = await state.make()
    async with edge.world.running():
        for name, header in tokens.items():
            for verb in Verb:
                body = _body(edge, verb, _data(key, verb, state, HOME), HANAKO, HOME)
                status, _ = await edge.microsoft.send(edge.url, body, authorization=header)
                assert status == 401, name
        for changed in ({"serviceUrl": "https://attacker.example/"}, {"channelId": "webchat"}, {"channelId": None}):
            body = {**_body(edge, Verb.APPROVE, _data(key, Verb.APPROVE, state, HOME), HANAKO, HOME), **changed}
            good = edge.microsoft.signer.header(edge.microsoft.service_url)
            status, _ = await edge.microsoft.send(edge.url, body, authorization=good)
            assert status in {401, 403}, changed
        assert edge.world.aws.signals == []
        assert (
            await edge.microsoft.send(
                edge.url, _body(edge, Verb.APPROVE, _data(key, Verb.APPROVE, state, HOME), HANAKO, HOME)
            )
        )[0] == SERVED
    assert len(edge.world.aws.signals) == 1
    figure(16, tokens=len(tokens), cells=len(tokens) * len(Verb) + 3, refused=len(tokens) * len(Verb) + 3, signals=0)


@pytest.mark.parametrize("actor", ["approver", "guest listed by id"])
async def test_sender_of_another_tenant_is_refused_unless_listed_by_id(actor: str, edge: MatrixEdge) -> None:
    """The sender's tenant id in the activity is used, even if the roster has the person in the bot's tenant."""
    state = STATES["waiting"]
    edge.world, key = await state.make()
    async with edge.world.running():
        body = _body(edge, Verb.APPROVE, _data(key, Verb.APPROVE, state, HOME), ACTORS[actor], HOME)
        body["from"]["tenantId"] = FOREIGN_TENANT_ID
        await edge.microsoft.send(edge.url, body)
    assert len(edge.world.aws.signals) == (actor == "guest listed by id")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(
    "lists",
    [{}, {"verbs": DECIDING, "routes": CARDS, "forgeries": FORGERIES}],
    ids=["clicks", "forged clicks"],
)
def test_every_pair_of_verb_actor_route_and_forgery_is_tried(state: str, lists: dict[str, Iterable[Any]]) -> None:
    """In each state, also in the short form of `make test`."""
    each = (lists.get("verbs", Verb), ACTORS, lists.get("routes", ROUTES), lists.get("forgeries", (None,)))
    for first, second in combinations(range(len(each)), 2):
        tried = {(click[first], click[second]) for click in clicks_in(state, **lists)}
        assert tried == set(product(each[first], each[second]))


def test_every_combination_of_verb_actor_and_route_is_tried_in_some_state() -> None:
    """All states together have every combination, also in the short form of `make test`."""
    tried = {click[:3] for state in STATES for click in clicks_in(state)}
    assert tried == set(product(Verb, ACTORS, ROUTES))


def test_bot_has_only_the_verbs_and_http_routes_that_are_listed_here() -> None:
    """A new verb or HTTP route fails this test, as a reminder to extend the matrix and then these lists."""
    assert set(Verb) == {
        Verb.APPROVE,
        Verb.REJECT,
        Verb.CANCEL,
        Verb.REVOKE,
        Verb.GIVE_BACK,
        Verb.END_SESSIONS,
        Verb.WITHDRAW,
        Verb.REVIEWING,
        Verb.REFRESH,
    }

    async def nothing(*_: Any) -> Any:
        return {}

    apps = (
        server.build_app(messages=nothing, ready=nothing),
        server.build_metrics_app(CollectorRegistry(), ready=nothing),
    )
    found = {
        (route.method, route.resource.canonical) for app in apps for route in app.router.routes() if route.resource
    }
    assert found == {
        ("POST", "/api/messages"),  # the matrix
        *(
            (method, path) for method in ("GET", "HEAD") for path in ("/livez", "/readyz", "/metrics")
        ),  # report only; they accept no input
    }
