"""The control API of the simulated Teams, under `/_sandbox/`: the recorded traffic, faults, held updates, groups.

For people who explore the sandbox with curl, and for tests. Has no state.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web

from bot.sandbox.teams.connector import Connector, parsed
from bot.sandbox.teams.faults import Fault
from bot.sandbox.teams.graph import Member, MicrosoftGraph, Switches
from bot.sandbox.teams.inbound import BotUnreachable, Inbound


def control_routes(connector: Connector, inbound: Inbound, graph: MicrosoftGraph) -> list[web.RouteDef]:
    """Return the routes: `sent`, `received`, `faults`, `hold`, `release`, `deliver`, `graph`, `groups`."""
    controls = _Controls(connector, inbound, graph)
    return [
        web.get("/_sandbox/sent", controls.sent),
        web.get("/_sandbox/received", controls.received),
        web.post("/_sandbox/faults", controls.add_fault),
        web.delete("/_sandbox/faults", controls.clear_faults),
        web.post("/_sandbox/hold", controls.hold),
        web.post("/_sandbox/release", controls.release),
        web.post("/_sandbox/deliver", controls.deliver),
        web.post("/_sandbox/graph", controls.switch_graph),
        web.post("/_sandbox/groups", controls.set_group),
    ]


class _Controls:
    def __init__(self, connector: Connector, inbound: Inbound, graph: MicrosoftGraph) -> None:
        self._connector, self._inbound, self._graph = connector, inbound, graph

    async def sent(self, _request: web.Request) -> web.Response:
        """List the bot's Connector calls, oldest first."""
        return web.json_response([asdict(call) for call in self._connector.sent])

    async def received(self, _request: web.Request) -> web.Response:
        """List the activities that reached the bot, oldest first."""
        return web.json_response([asdict(activity) for activity in self._inbound.received])

    async def add_fault(self, request: web.Request) -> web.Response:
        """Inject a fault; the body has the fields of `Fault`. Answers 400 if they are invalid."""
        try:
            fault = Fault.from_json(await _json_object(request))
        except (TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self._connector.faults.add(fault)
        return web.Response(status=204)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Remove all faults."""
        self._connector.faults.clear()
        return web.Response(status=204)

    async def hold(self, _request: web.Request) -> web.Response:
        """Show no message updates until `release`."""
        self._connector.hold_updates()
        return web.Response(status=204)

    async def release(self, _request: web.Request) -> web.Response:
        """Show the held updates, and later ones immediately."""
        await self._connector.release_updates()
        return web.Response(status=204)

    async def deliver(self, request: web.Request) -> web.Response:
        """Send the body to the bot as an activity: from another person, or of a kind that the Playground lacks.

        Answers with what the bot answered, or with 502 if the bot did not answer.
        """
        try:
            received = await self._inbound.deliver(await _json_object(request))
        except BotUnreachable as error:
            raise web.HTTPBadGateway(text=str(error)) from error
        return web.json_response(asdict(received))

    async def switch_graph(self, request: web.Request) -> web.Response:
        """Set how Graph answers; the body has the fields of `Switches` that are not the default. 400 if invalid."""
        try:
            switches = Switches.from_json(await _json_object(request))
        except TypeError as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        self._graph.switch(**asdict(switches))
        return web.Response(status=204)

    async def set_group(self, request: web.Request) -> web.Response:
        """Set the members of a group: `{"group": id, "members": [{"id", "kind"}]}`. Answers 400 if they are invalid."""
        try:
            body = await _json_object(request)
            self._graph.groups[str(body["group"])] = tuple(Member(**each) for each in body["members"])
        except (KeyError, TypeError, ValueError) as error:
            raise web.HTTPBadRequest(text=str(error)) from error
        return web.Response(status=204)


async def _json_object(request: web.Request) -> Mapping[str, Any]:
    body = parsed(await request.read())
    if request.content_type != "application/json" or not isinstance(body, dict):
        raise web.HTTPBadRequest(text="send a JSON object")
    return body
