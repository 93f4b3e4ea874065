"""Tests for bot.teams.inbound.adapter: the SDK runs verified turns, and neither authenticates nor sends."""

from collections.abc import Awaitable, Callable

import pytest
from botbuilder.core import BotAdapter, TurnContext
from botbuilder.schema import Activity

from bot.teams.inbound.adapter import SendingNotSupported, TeamsAdapter
from tests.fakes.edge import Edge, running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO


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
