"""The sandbox's AWS, started and stopped: moto and the simulator of just-in-time node access on one loopback port.

    with SandboxAws.start() as aws:
        environment = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": aws.world.region, **aws.world.bot.environment()}

moto keeps its state per process: a start wipes what an earlier one left, so one at a time.
"""

import os
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, Self

import boto3
from botocore.config import Config
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws import callers as identities
from bot.sandbox.aws import world as sample
from bot.sandbox.aws.call_log import Call, CallLog
from bot.sandbox.aws.callers import Callers, Session
from bot.sandbox.aws.control import PREFIX, Control
from bot.sandbox.aws.event_bus import EventBus
from bot.sandbox.aws.faults import Faults, Throttle
from bot.sandbox.aws.front import AwsFront, Operations
from bot.sandbox.aws.identity_center import IdentityCenter
from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.jit.documents import JitDocuments
from bot.sandbox.aws.jit.operations import JitOperations
from bot.sandbox.aws.jit.state import Effect, JitState
from bot.sandbox.aws.nodes import Nodes
from bot.sandbox.aws.role_endpoint import ROLE_PATH, RoleEndpoint
from bot.sandbox.aws.web_identities import PREFIX as ISSUER
from bot.sandbox.aws.web_identities import WebIdentities

HOST = "127.0.0.1"
_one_at_a_time = threading.Lock()
STOP_POLL = 0.02  # seconds; how soon the server notices that it shall stop


def _utc_now() -> datetime:
    return datetime.now(UTC)


class QuietHandler(MotoRequestHandler):
    """moto's request handler without the line per request on stderr; the call log tells more."""

    def log(self, *_: object) -> None:
        """Say nothing."""


class SandboxAws:
    """A running AWS of our own.

    `now` moves time-outs and access windows; `per_second` limits each operation as SSM does (None: no limit);
    `steps_shown` truncates the step list of GetAutomationExecution; `assumed` varies what AWS does not document;
    `identity_center_users` gives requesters an Identity Center id, by session name, and the id a record of that name;
    `administrator` is the account and Region in which copies of all requests are kept, as in an organization's
    delegated administrator account.
    What an SDK renews by itself expires in real time whatever `now` says, since SDKs look at the real clock; what
    AssumeRole gives out expires by `now`, as whoever keeps it has it.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = _utc_now,
        per_second: float | None = None,
        steps_shown: int | None = None,
        assumed: Assumptions | None = None,
        identity_center_users: dict[str, str] | None = None,
        administrator: tuple[str, str] | None = None,
    ) -> None:
        if not _one_at_a_time.acquire(blocking=False):
            raise RuntimeError("a sandbox runs in this process already, and moto keeps its state per process")
        _forget_everything()
        self.faults = Faults()
        self.callers = Callers(now=now)
        self.web_identities = WebIdentities(now=_utc_now)
        self.role_endpoint = RoleEndpoint(now=_utc_now)
        self.nodes = Nodes(now=now)
        self.identity_center = IdentityCenter(identity_center_users or {})
        self.events = EventBus(account=sample.ACCOUNT, region=sample.REGION, queue=sample.QUEUE)
        self.state = JitState(
            now=now,
            nodes=self.nodes,
            publish=self.events.publish,
            assumed=assumed or Assumptions(),
            identity_center_users=identity_center_users or {},
            administrator=administrator,
        )
        self._log = CallLog(now=now)
        self.throttle = Throttle(now=now)
        self._per_second = per_second
        self.front = AwsFront(
            self._operations(steps_shown),
            callers=self.callers,
            faults=self.faults,
            throttle=self.throttle,
            calls=self._log,
        )
        self.control = Control(front=self.front, callers=self.callers, state=self.state, calls=self._log)

    @classmethod
    def start(cls, *, port: int = 0, **settings: Any) -> "SandboxAws":
        """Start on loopback with the sample world in it; `settings` are the constructor's, port 0 is any free one."""
        aws = cls(**settings)
        aws._serve(port)
        try:
            aws._populate()
        except BaseException:
            aws.stop()
            raise
        return aws

    def stop(self) -> None:
        """Let every held call go and stop answering."""
        self.faults.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        _one_at_a_time.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def calls(self, operation: str | None = None) -> list[Call]:
        """Return every call so far, of one operation or of all, in the order of arrival."""
        return self._log.all(operation)

    def effects(self, *kinds: str) -> list[Effect]:
        """Return the signals and stops that took effect: of some kinds (Approve, Reject, Revoke, Stop) or of all."""
        return [e for e in self.state.effects if not kinds or e.kind in kinds]

    def forget_calls(self) -> None:
        """Empty the call log, not the effects."""
        self._log.clear()

    def tick(self) -> None:
        """Let everything lapse that is overdue, events included."""
        self.state.tick()

    @property
    def mistakes(self) -> list[str]:
        """What the sandbox itself did wrong; tests assert that it is empty."""
        return self.front.mistakes

    def session(self, role: str, name: str, *, source_identity: str = "") -> Session:
        """Return credentials of a role as AssumeRole would give them."""
        return self.callers.assume(role, name, source_identity=source_identity)

    def client(self, service: str, session: Session | None = None, *, region: str | None = None) -> Any:
        """Return a boto3 client of this AWS that retries nothing; the bot's credentials unless told otherwise."""
        session = session or self.world.bot
        return _boto3().client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.endpoint,
            region_name=region or sample.REGION,
            aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token or None,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one HTTP request: the control calls here, all else as AWS."""
        path = environ["PATH_INFO"]
        if path.startswith(PREFIX):
            return self.control.answer(Request(environ))(environ, start_response)
        if path.startswith(ISSUER):
            return self.web_identities.answer(Request(environ))(environ, start_response)
        if path == ROLE_PATH:
            return self.role_endpoint.answer(self.world.bot)(environ, start_response)
        if path.startswith("/moto-api"):  # would reset moto and not us
            return Response("", 404)(environ, start_response)
        return self.front(environ, start_response)

    def _operations(self, steps_shown: int | None) -> Operations:
        return {
            ("sts", "AssumeRole"): partial(identities.assume_role, self.callers),
            ("sts", "GetCallerIdentity"): identities.get_caller_identity,
            ("sts", "GetWebIdentityToken"): self.web_identities.get_web_identity_token,
            **JitOperations(self.state, steps_shown=steps_shown, cancellers=frozenset({sample.CANCELLER})).table(),
            **JitDocuments(self.state).table(),
            **self.nodes.table(),
            **self.identity_center.table(),
        }

    def _serve(self, port: int) -> None:
        self._server = make_server(HOST, port, self, threaded=True, request_handler=QuietHandler)
        self.endpoint = self.web_identities.endpoint = f"http://{HOST}:{self._server.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(STOP_POLL,), name="sandbox-aws", daemon=True
        )
        self._thread.start()

    def _populate(self) -> None:
        bot, requester = sample.admit(self.callers)
        ec2, sqs, ssm = (self.client(name, bot) for name in ("ec2", "sqs", "ssm"))
        self.world = sample.build(ec2=ec2, sqs=sqs, ssm=ssm, nodes=self.nodes, bot=bot, requester=requester)
        for client in (ec2, sqs, ssm):
            client.close()
        self.control.world = self.world
        self._log.clear()
        self.throttle.per_second = self._per_second  # not before: the sample world is built faster than that


def _forget_everything() -> None:
    # moto can be told in no other way. Its 1,347 machine images take 0.3 s at every start, and nobody here needs one.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    BackendDict.reset()
    reset_model_data()


@cache
def _boto3() -> boto3.session.Session:
    """Return one session for all clients: it keeps the service models, which take long to read."""
    return boto3.session.Session()
