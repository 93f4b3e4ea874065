"""Runs verified activities through the archived SDK's turn pipeline.

The endpoint has verified the token before; the SDK's own authentication, credentials and HTTP clients are not used.
`TurnContext.send_activity` is not supported: the bot sends through `bot.ports.teams.Chat`.
"""
# ruff: noqa: ARG002 - the signatures are the SDK's

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, NoReturn

from botbuilder.core import BotAdapter, InvokeResponse, TurnContext
from botbuilder.schema import Activity, ActivityTypes, ConversationReference, ResourceResponse
from msrest.serialization import Model

from bot.teams.wire.activity import Inbound

INBOUND: Final = "bot.inbound"
"""Key of the activity (Inbound) in the turn state. The SDK's own model would lose fields, so it gets only the type."""

ANSWER: Final = "bot.answer"
"""Key of the answer to an invoke (InvokeResponse) in the turn state."""

Turn = Callable[[TurnContext], Awaitable[None]]


class SendingNotSupported(NotImplementedError):
    """A turn tried to send, update or delete a message through the SDK's turn context."""

    def __init__(self) -> None:
        super().__init__("send_activity is not supported: send through bot.ports.teams.Chat")


def answer_invoke(context: TurnContext, response: InvokeResponse) -> None:
    """Answer the invoke of a turn. Sending the answer through the SDK would first make a deep copy of its card."""
    context.turn_state[ANSWER] = response


class TeamsAdapter(BotAdapter):
    """The SDK's adapter, reduced to running one turn and keeping its answer to an invoke."""

    async def run(self, inbound: Inbound, *, turn: Turn) -> tuple[int, Any]:
        """Run one turn; return the HTTP status and the body (JSON data or None) of its answer.

        An invoke that the turn did not answer gets the status 501. Errors of the turn pass through.
        """
        context = TurnContext(self, Activity(type=inbound.wire.type))
        context.turn_state[INBOUND] = inbound
        await self.run_pipeline(context, turn)
        if inbound.wire.type != ActivityTypes.invoke:
            return HTTPStatus.OK, None
        answer = context.turn_state.get(ANSWER)
        if answer is None:
            return HTTPStatus.NOT_IMPLEMENTED, None
        return int(answer.status), answer.body.serialize() if isinstance(answer.body, Model) else answer.body

    async def send_activities(self, context: TurnContext, activities: Sequence[Activity]) -> list[ResourceResponse]:
        """Keep the handler's answer to an invoke; raise SendingNotSupported for anything else."""
        for activity in activities:
            if activity.type != ActivityTypes.invoke_response:
                raise SendingNotSupported
            answer_invoke(context, activity.value)
        return [ResourceResponse() for _ in activities]

    async def update_activity(self, context: TurnContext, activity: Activity) -> NoReturn:
        """Raise SendingNotSupported."""
        raise SendingNotSupported

    async def delete_activity(self, context: TurnContext, reference: ConversationReference) -> NoReturn:
        """Raise SendingNotSupported."""
        raise SendingNotSupported
