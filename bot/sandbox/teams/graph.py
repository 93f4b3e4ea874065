"""Microsoft Graph of the simulated tenant: the one call with which the bot reads the members of a group.

Owns the groups, and the switches with which Graph refuses, is slow, or answers wrongly. A person sets them by
`POST /_sandbox/graph` (`controls.py`). No answer is assumed to be what a live tenant gives: nothing was seen live.

https://learn.microsoft.com/graph/api/group-list-transitivemembers
https://learn.microsoft.com/graph/errors
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from aiohttp import web

from bot.sandbox.teams.microsoft import GRAPH_ROLE, Microsoft
from bot.sandbox.teams.people import APPROVERS

GRAPH_PATH: Final = "/v1.0/groups/{group}/transitiveMembers"
LARGEST_PAGE: Final = 999
KEPT: Final = 1000  # recorded calls
KINDS: Final = ("user", "group", "device", "servicePrincipal")
ON_CALL: Final = "cccccccc-0000-4000-8000-000000000001"
NESTED: Final = "cccccccc-0000-4000-8000-000000000002"
DEVICE: Final = "cccccccc-0000-4000-8000-000000000009"


@dataclass(frozen=True, slots=True)
class Member:
    """An object in a group; `kind` is one of KINDS."""

    id: str
    kind: str = "user"

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown kind."""
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}")

    def entry(self) -> dict[str, str]:
        """Return the member as Graph lists it."""
        return {"@odata.type": f"#microsoft.graph.{self.kind}", "id": self.id}


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """How Graph answers. The defaults are those of a tenant in which an administrator has consented."""

    consent: bool = True  # False: new tokens have no roles, so Graph answers 403
    status: int = 200  # any other: Graph answers it to each call, with `code` and `retry_after`
    code: str = "ServiceNotAvailable"
    retry_after: str = ""
    seconds: float = 0.0  # before each answer
    page_size: int = LARGEST_PAGE
    foreign: str = ""  # an origin: the address of the next page leads there

    @classmethod
    def from_json(cls, wanted: Mapping[str, Any]) -> "Switches":
        """Build switches from a request's body. Raises TypeError for an unknown name."""
        return cls(**wanted)


def sample_groups() -> dict[str, tuple[Member, ...]]:
    """Return the groups of the sample tenant: an on-call group with a nested group and a device, and the nested one."""
    first, second, *others = (Member(each.object_id) for each in APPROVERS)
    return {ON_CALL: (first, second, Member(NESTED, "group"), Member(DEVICE, "device")), NESTED: tuple(others)}


@dataclass(slots=True)
class MicrosoftGraph:
    """Answers the bot's calls. `groups` has the direct members of each group; `asked`, the paths of the calls."""

    microsoft: Microsoft
    groups: dict[str, tuple[Member, ...]] = field(default_factory=sample_groups)
    asked: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    _switches: Switches = field(default_factory=Switches)

    @property
    def switches(self) -> Switches:
        """How Graph answers now."""
        return self._switches

    def switch(self, **changed: Any) -> None:
        """Change some switches. A consent counts for the tokens that are issued after it."""
        self._switches = replace(self._switches, **changed)
        self.microsoft.graph_roles = (GRAPH_ROLE,) if self._switches.consent else ()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the simulated Microsoft that this class answers."""
        return [web.get(GRAPH_PATH, self._members)]

    async def _members(self, request: web.Request) -> web.Response:
        self.asked.append(request.path_qs)
        await asyncio.sleep(self._switches.seconds)
        roles = self.microsoft.roles_for_graph(request.headers.get("Authorization", ""))
        if roles is None:
            return _refused(401, "InvalidAuthenticationToken")
        if self._switches.status != 200:
            headers = {"Retry-After": self._switches.retry_after} if self._switches.retry_after else {}
            return _refused(self._switches.status, self._switches.code, headers)
        if GRAPH_ROLE not in roles:
            return _refused(403, "Authorization_RequestDenied")
        group = request.match_info["group"].lower()
        if group not in self.groups:
            return _refused(404, "Request_ResourceNotFound")
        return self._page(request, [each.entry() for each in self._transitive(group)])

    def _transitive(self, group: str) -> Iterator[Member]:
        """Yield the members of a group and of the groups in it, each once."""
        seen, waiting = {group}, deque(self.groups[group])
        while waiting:
            member = waiting.popleft()
            if member.id in seen:
                continue
            seen.add(member.id)
            yield member
            waiting.extend(self.groups.get(member.id, ()))

    def _page(self, request: web.Request, entries: list[dict[str, str]]) -> web.Response:
        query = request.query
        if query.get("$select") != "id" or not 1 <= int(query.get("$top", "100")) <= LARGEST_PAGE:
            return _refused(400, "Request_BadRequest")
        size, first = min(int(query.get("$top", "100")), self._switches.page_size), int(query.get("$skiptoken", "0"))
        body: dict[str, Any] = {
            "@odata.context": f"{request.url.origin()}/v1.0/$metadata#directoryObjects(id)",
            "value": entries[first : first + size],
        }
        if first + size < len(entries) or self._switches.foreign:
            origin = self._switches.foreign or str(request.url.origin())
            after = f"?$select=id&$top={size}&$skiptoken={first + size}"
            body["@odata.nextLink"] = f"{origin}{request.rel_url.raw_path}{after}"
        return web.json_response(body)


def _refused(status: int, code: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return an error in Graph's form."""
    body = {"error": {"code": code, "message": "Refused by the sandbox.", "innerError": {}}}
    return web.json_response(body, status=status, headers=headers)
