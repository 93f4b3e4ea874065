"""The seam to the SDK: nothing but a verified activity passes it."""

import pytest
from botbuilder.core import TurnContext
from botbuilder.schema import Activity

from bot.teams.inbound.adapter import TeamsAdapter
from tests.fakes.edge import Edge, running_edge
from tests.fakes.microsoft import FakeMicrosoft
from tests.fakes.people import HANAKO


async def test_sdk_authenticates_nobody(edge: Edge) -> None:
    """The SDK's own ways in are shut: an unverified header handed to it is refused, whatever it says."""
    adapter = TeamsAdapter(edge.connector)

    async def turn(_context: TurnContext) -> None:
        pytest.fail("a turn ran")

    with pytest.raises(PermissionError):
        await adapter.process_activity("Bearer anything", Activity(type="message"), turn)
    with pytest.raises(PermissionError):
        await adapter.bot_framework_authentication.authenticate_streaming_request("Bearer anything", "msteams")


async def test_reply_to_a_message_without_id_is_a_post(ms: FakeMicrosoft, edge: Edge) -> None:
    """An activity that has no id cannot be replied to: the answer is posted into the conversation."""

    async def turn(context: TurnContext) -> None:
        await context.send_activity("hello")

    async with running_edge(ms, turn=turn, clock=edge.clock) as running:
        await ms.post_message(running.url, HANAKO, ms.world.personal(HANAKO), "help", id=None)

    assert [message.text for message in ms.posted(ms.world.personal(HANAKO))] == ["hello"]
