"""The control API of the simulated AWS, under `/_sandbox/`, for other processes on this machine.

    GET  /_sandbox/world                            account, Region, queue, nodes
    GET  /_sandbox/calls?operation=…                the call log
    GET  /_sandbox/effects                          the signals and stops that took effect
    GET  /_sandbox/mistakes                         errors of the sandbox itself; empty unless it has a defect
    POST /_sandbox/request {reason, node, by}       a new request; node: Name or id; by: the requester's session name
    POST /_sandbox/decide {opsItemId, verdict, comment, by}   a decision as in the AWS console; by: the approver
    POST /_sandbox/session {opsItemId, act}         act `open`: the requester opens a session on each node of the
                                                    request with its access; `close`: closes those that are open

Verdicts: approve, reject, revoke, and cancel, which the request's own requester sends. Only JSON from this machine is
accepted, so that no web page can send a request or a decision.
"""

import json
import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from werkzeug.wrappers import Request, Response

from bot.sandbox.aws.call_log import CallLog
from bot.sandbox.aws.callers import Caller, Callers, Session
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.front import AwsFront
from bot.sandbox.aws.jit.assumptions import ROLE_APPROVER
from bot.sandbox.aws.jit.requests import AccessRequest
from bot.sandbox.aws.jit.sessions import NodeSessions
from bot.sandbox.aws.jit.state import JitState
from bot.sandbox.aws.world import OPERATOR_ROLE, REQUESTER, World

PREFIX: Final = "/_sandbox/"
CONSOLE_USER: Final = "alex.wilber@example.com"  # the person who decides in the AWS console
SIGNALS: Final = {"approve": "Approve", "reject": "Reject", "revoke": "Revoke"}
SAMPLE_REASON: Final = "本番サイトで 502 エラーが増えているため、nginx のログを確認します（INC-2041）"
SAMPLE_NODE: Final = "web-prod-01"
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
SESSION_NAME: Final = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII)
LOCAL_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


class BadRequest(ValueError):
    """The call is invalid; the text says why."""


class Control:
    """Answers calls to the control API. `world` is set once the sample account exists."""

    def __init__(
        self, *, front: AwsFront, callers: Callers, state: JitState, sessions: NodeSessions, calls: CallLog
    ) -> None:
        self._front, self._callers, self._state, self._calls = front, callers, state, calls
        self._sessions = sessions
        self.world: World | None = None

    def answer(self, request: Request) -> Response:
        """Answer one call to the control API."""
        if not _is_local(request):
            return _reply(403, {"error": "loopback only"})
        handler = self._routes().get((request.method, request.path.removeprefix(PREFIX)))
        if handler is None:
            return _reply(404, {"error": "no such call"})
        try:
            return _reply(200, handler(request))
        except BadRequest as error:
            return _reply(400, {"error": str(error)})
        except AwsError as error:
            return _reply(409, {"code": error.code, "error": error.message})

    def request_access(self, *, node: str = SAMPLE_NODE, reason: str = SAMPLE_REASON, by: str = REQUESTER) -> str:
        """Request access as the session `by` of the operators' role; return the OpsItem id.

        `node` is the name or id of a node, or of several nodes, separated by commas. Raises AwsError as AWS would.
        """
        world = self._world()
        caller = Caller(self._callers.assume(OPERATOR_ROLE, by), world.region, "ssm")
        targets = [{"Key": "InstanceIds", "Values": [world.nodes.get(each, each)]} for each in node.split(",")]
        params = {"Reason": reason, "Targets": targets}
        started = self._front.perform(caller, "ssm", "StartAccessRequest", params)
        return str(started["AccessRequestId"])

    def decide(self, ops_item_id: str, verdict: str, *, comment: str = "", by: str = CONSOLE_USER) -> None:
        """Decide without the bot: `by` acts in a role that the level lists; the requester sends `cancel`.

        Raises AwsError as AWS would, and BadRequest for an unknown request or verdict.
        """
        world, request = self._world(), self._request(ops_item_id)
        execution = {"AutomationExecutionId": request.execution_id}
        if verdict == "cancel":
            session = self._callers.assume(OPERATOR_ROLE, request.requester.rpartition("/")[2])
            self._perform(session, "StopAutomationExecution", {**execution, "Type": "Cancel"})
        elif signal := SIGNALS.get(verdict):
            payload = {"Payload": {"Comment": [comment]}} if comment else {}
            session = self._callers.assume(_approver_role(request, world), by)
            self._perform(session, "SendAutomationSignal", {**execution, "SignalType": signal, **payload})
        else:
            raise BadRequest(f"verdict is one of {', '.join(SIGNALS)}, cancel")

    def use(self, ops_item_id: str, act: str) -> list[str]:
        """Open or close the requester's sessions on the nodes of a request, and return the ids of the sessions.

        Raises AwsError as AWS would, and BadRequest for an unknown request or act, or if there is no access.
        """
        request = self._request(ops_item_id)
        person = self._callers.assume(OPERATOR_ROLE, request.requester.rpartition("/")[2])
        if act == "close":
            closed = self._sessions.opened_by(request.requester, request.node_ids)
            for each in closed:
                self._perform(person, "TerminateSession", {"SessionId": each})
            return closed
        if act != "open":
            raise BadRequest("act is open or close")
        answer = self._perform(person, "GetAccessToken", {"AccessRequestId": ops_item_id})
        if "Credentials" not in answer:
            raise BadRequest(f"{ops_item_id} gives no access now: {answer['AccessRequestStatus']}")
        token = self._callers.known(answer["Credentials"]["AccessKeyId"])
        return [str(self._perform(token, "StartSession", {"Target": node})["SessionId"]) for node in request.node_ids]

    def _request(self, ops_item_id: str) -> AccessRequest:
        world = self._world()
        request = self._state.find(ops_item_id, account=world.account, region=world.region)
        if request is None:
            raise BadRequest(f"there is no {ops_item_id}")
        return request

    def _perform(self, session: Session, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        return self._front.perform(Caller(session, self._world().region, "ssm"), "ssm", operation, params)

    def _routes(self) -> dict[tuple[str, str], Callable[[Request], Any]]:
        return {
            ("GET", "world"): self._get_world,
            ("GET", "calls"): lambda r: [c.as_json() for c in self._calls.all(r.args.get("operation"))],
            ("GET", "effects"): lambda _: [{**asdict(e), "at": e.at.isoformat()} for e in self._state.effects],
            ("GET", "mistakes"): lambda _: self._front.mistakes,
            ("POST", "request"): self._post_request,
            ("POST", "decide"): self._post_decide,
            ("POST", "session"): self._post_session,
        }

    def _get_world(self, _: Request) -> dict[str, Any]:
        world = self._world()
        places = {"account": world.account, "region": world.region, "queueUrl": world.queue_url}
        return {**places, "nodes": world.nodes}

    def _post_request(self, request: Request) -> dict[str, Any]:
        body = _body(request, {"node": SAMPLE_NODE, "reason": SAMPLE_REASON, "by": REQUESTER})
        world = self._world()
        if not {*body["node"].split(",")} <= {*world.nodes, *world.nodes.values()}:
            raise BadRequest(f"there is no such node; there are {', '.join(world.nodes)}")
        if not SESSION_NAME.fullmatch(body["by"]):
            raise BadRequest("by is a session name: 2 to 64 letters, digits, and _ + = , . @ -")
        ops_item_id = self.request_access(**body)
        return {"opsItemId": ops_item_id, "account": world.account, "region": world.region}

    def _post_decide(self, request: Request) -> dict[str, Any]:
        body = _body(request, {"opsItemId": "", "verdict": "", "comment": "", "by": CONSOLE_USER})
        self.decide(body["opsItemId"], body["verdict"], comment=body["comment"], by=body["by"])
        return {"opsItemId": body["opsItemId"]}

    def _post_session(self, request: Request) -> dict[str, Any]:
        body = _body(request, {"opsItemId": "", "act": "open"})
        return {"opsItemId": body["opsItemId"], "sessions": self.use(body["opsItemId"], body["act"])}

    def _world(self) -> World:
        if self.world is None:
            raise BadRequest("there is no sample world here")
        return self.world


def _approver_role(request: AccessRequest, world: World) -> str:
    step = request.waiting_step or next(iter(request.steps), None)
    listed = step.level.approvers if step else ()
    return next((a.id for a in listed if a.kind == ROLE_APPROVER), world.approver_role)


def _is_local(request: Request) -> bool:
    """Return whether sender and Host header are local. A hostile web page could resolve its own domain to 127.0.0.1."""
    sender = request.remote_addr or ""
    return (sender.startswith("127.") or sender == "::1") and request.host.rpartition(":")[0] in LOCAL_NAMES


def _body(request: Request, defaults: dict[str, str]) -> dict[str, str]:
    body = request.get_json(silent=True) if request.is_json else None
    if not isinstance(body, dict) or not all(isinstance(v, str) for v in body.values()) or set(body) - set(defaults):
        raise BadRequest(f"send a JSON object with some of: {', '.join(defaults)}")
    return {**defaults, **body}


def _reply(status: int, body: Any) -> Response:
    return Response(json.dumps(body, ensure_ascii=False), status, content_type="application/json")
