"""Tests for bot.teams.inbound.adapter: the SDK runs verified turns, and neither authenticates nor sends."""

import random
from collections.abc import Awaitable, Callable
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from botbuilder.core import BotAdapter, TurnContext
from botbuilder.core.teams import TeamsActivityHandler
from botbuilder.schema import Activity

from bot.service.clicks.click import Answer, Click
from bot.teams.inbound.adapter import SendingNotSupported, TeamsAdapter, Turn
from bot.teams.inbound.handler import TeamsHandler
from bot.teams.wire.activity import Inbound, NotAnActivity, parse
from tests.fakes import activities
from tests.fakes.activities import Place
from tests.fakes.edge import Edge, running_edge
from tests.fakes.junk import mutations
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO, PEOPLE

COMPARED = 1000  # invokes


def test_adapter_adds_only_run_to_the_base_class_of_the_sdk() -> None:
    """The adapter has no method of the SDK that takes an unverified header or request."""
    public = {name for name in dir(TeamsAdapter) if not name.startswith("_")}

    assert public - set(dir(BotAdapter)) == {"run"}


@pytest.mark.parametrize(
    "send",
    [
        lambda context: context.send_activity("hello"),
        lambda context: context.update_activity(Activity(id="1", type="message", text="hello")),
        lambda context: context.delete_activity("1"),
    ],
    ids=["send", "update", "delete"],
)
async def test_sending_through_the_turn_context_is_refused(
    send: Callable[[TurnContext], Awaitable[object]], ms: FakeMicrosoft, edge: Edge
) -> None:
    """Sending through the SDK raises an error that refers to bot.ports.teams.Chat. No message reaches Teams."""
    raised: list[str] = []

    async def turn(context: TurnContext) -> None:
        with pytest.raises(SendingNotSupported) as refused:
            await send(context)
        raised.append(str(refused.value))

    async with running_edge(ms, turn=turn, clock=edge.clock) as running:
        await ms.post_message(running.url, HANAKO, ms.world.personal(HANAKO), "help")

    assert raised == ["send_activity is not supported: send through bot.ports.teams.Chat"]
    assert not ms.posted(ms.world.personal(HANAKO))


class EchoingClicks:
    """Answers each click with a card, a text or an error that depends on the click."""

    async def click(self, click: Click, /) -> Answer:
        """Return the answer. Raises RuntimeError for the comment `fail`."""
        if click.comment == "fail":
            raise RuntimeError(click.request)
        card = {"body": [{"text": repr(click), "parts": [click.verb, {"step": click.step}]}]}
        return Answer(None if click.comment == "text" else card, None, click.comment)

    async def refresh(self, click: Click, /) -> dict[str, object] | None:
        """Return a card, or None for the step `none`."""
        return None if click.step == "none" else {"body": [repr(click)]}


class Nothing:
    """A service that accepts every call."""

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def invokes(rng: random.Random) -> list[Inbound]:
    """Return COMPARED different invokes: clicks and refreshes, unknown invokes, and random changes of them."""
    found: list[Inbound] = []
    while len(found) < COMPARED:
        data = {"request": rng.choice(["r", "", 7]), "step": rng.choice(["Level1", "none"])}
        good = activities.invoke(
            rng.choice(["approve", "refresh", "withdraw", "unknown"]),
            data | {"comment": rng.choice(["", "text", "fail", "了解しました"])},
            sender=rng.choice(PEOPLE),
            place=Place(id="19:a@thread.tacv2;messageid=1", kind="channel", team="19:t@thread.tacv2"),
            service_url="https://smba.trafficmanager.net/emea/",
            trigger=rng.choice([None, "manual", "automatic"]),
            name=rng.choice(["adaptiveCard/action", "adaptiveCard/action", "task/fetch", None]),
        )
        for raw, _ in zip(mutations(rng, good), range(2), strict=False):
            try:
                inbound = parse(raw)
            except NotAnActivity:
                continue
            found += [inbound] if inbound.wire.type == "invoke" else []
    return found[:COMPARED]


async def answered(inbound: Inbound, turn: Turn) -> Any:
    """Return status and body of a turn, or the error that it raised."""
    try:
        return deepcopy(await TeamsAdapter().run(inbound, turn=turn))
    except RuntimeError as error:
        return repr(error)


async def test_invokes_are_answered_as_the_dispatch_of_the_sdk_answers_them() -> None:
    """The handler does not dispatch invokes through the SDK, which copies every card. Both give the same answers."""
    nothing: Any = Nothing()
    handler = TeamsHandler(
        clicks=EchoingClicks(),
        commands=nothing,
        installations=nothing,
        replies=nothing,
        directory=nothing,
        personal_chats=nothing,
        service_urls=nothing,
        team_groups=nothing,
    )
    by_sdk = partial(TeamsActivityHandler.on_turn, handler)
    answers = [
        (await answered(each, handler.on_turn), await answered(each, by_sdk)) for each in invokes(random.Random(7))
    ]

    assert len(answers) == COMPARED
    assert all(ours == sdk for ours, sdk in answers)
    assert len({repr(ours) for ours, _ in answers}) > 50
