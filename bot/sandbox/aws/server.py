"""Start and stop of the simulated AWS: moto and the simulator of just-in-time node access on one loopback port.

    with SandboxAws.start() as aws:
        environment = {"AWS_ENDPOINT_URL": aws.endpoint, "AWS_REGION": aws.world.region, **aws.world.bot.environment()}

moto keeps its state per process, so a process can run only one simulated AWS at a time. Each start clears the state of
an earlier one.
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
from werkzeug.wrappers import Request, Response

from bot.sandbox.aws import callers as identities
from bot.sandbox.aws import world as sample
from bot.sandbox.aws.call_log import Call, CallLog
from bot.sandbox.aws.callers import ROLE_PATH, Callers, RoleEndpoint, Session
from bot.sandbox.aws.control import PREFIX, Control
from bot.sandbox.aws.event_bus import EventBus
from bot.sandbox.aws.front import AwsFront, Interceptor, Operations
from bot.sandbox.aws.http_server import HttpServer
from bot.sandbox.aws.identity_center import IdentityCenter
from bot.sandbox.aws.jit.assumptions import Assumptions
from bot.sandbox.aws.jit.documents import JitDocuments
from bot.sandbox.aws.jit.operations import JitOperations
from bot.sandbox.aws.jit.sessions import NodeSessions
from bot.sandbox.aws.jit.state import Effect, JitState
from bot.sandbox.aws.nodes import Nodes
from bot.sandbox.aws.web_identities import PREFIX as ISSUER
from bot.sandbox.aws.web_identities import WebIdentities

_one_at_a_time = threading.Lock()


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class SandboxAws:
    """A running simulated AWS. `now` is the clock of time-outs, access windows and assumed sessions.

    Credentials that SDKs renew themselves expire in real time, because SDKs use the real clock. `steps_shown` truncates
    the step list of GetAutomationExecution. `assumed` is the simulator's behaviour where AWS has no documentation.
    `identity_center_users` has the Identity Center ids of requesters, by session name. `locale` is the language of the
    nodes' tags. `administrator` is an account and Region with copies of all requests, like a delegated administrator
    account. `interceptor` may delay or refuse calls, and change or drop answers.
    """

    def __init__(
        self,
        *,
        now: Callable[[], datetime] = utc_now,
        steps_shown: int | None = None,
        assumed: Assumptions | None = None,
        identity_center_users: dict[str, str] | None = None,
        administrator: tuple[str, str] | None = None,
        interceptor: Interceptor | None = None,
        locale: str = "ja",
    ) -> None:
        if not _one_at_a_time.acquire(blocking=False):
            raise RuntimeError("a sandbox already runs in this process, and moto keeps its state per process")
        _reset_moto()
        self.callers = Callers(now=now)
        self.web_identities = WebIdentities(now=utc_now)
        self.role_endpoint = RoleEndpoint(now=utc_now)
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
            short_access=sample.SHORT_ACCESS,
        )
        self.sessions = NodeSessions(self.state, enders=frozenset({sample.ENDER}))
        self._locale = locale
        self._log = CallLog(now=now)
        self.front = AwsFront(
            self._operations(steps_shown), callers=self.callers, calls=self._log, interceptor=interceptor
        )
        self.control = Control(
            front=self.front, callers=self.callers, state=self.state, sessions=self.sessions, calls=self._log
        )

    @classmethod
    def start(cls, *, port: int = 0, **settings: Any) -> Self:
        """Start on loopback with the sample world. `settings` are the constructor's; port 0 is any free port.

        Raises RuntimeError while another one runs in this process.
        """
        aws = cls(**settings)
        aws._serve(port)
        try:
            aws._populate()
        except BaseException:
            aws.stop()
            raise
        return aws

    def stop(self) -> None:
        """Stop the server."""
        self._server.stop()
        _one_at_a_time.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def calls(self, operation: str | None = None) -> list[Call]:
        """Return the calls in the log, of one operation or of all, in the order of arrival."""
        return self._log.all(operation)

    def effects(self, *kinds: str) -> list[Effect]:
        """Return the signals and stops that took effect, of these kinds (Approve, Reject, Revoke, Stop) or all."""
        return [e for e in self.state.effects if not kinds or e.kind in kinds]

    def forget_calls(self) -> None:
        """Clear the call log, but not the effects."""
        self._log.clear()

    def tick(self) -> None:
        """Time out all overdue levels and publish their events."""
        self.state.tick()

    @property
    def mistakes(self) -> list[str]:
        """Errors of the sandbox itself; tests assert that there are none."""
        return self.front.mistakes

    def session(self, role: str, name: str, *, source_identity: str = "") -> Session:
        """Return credentials of a role, like AssumeRole, except that they do not expire. Raises AwsError."""
        return self.callers.assume(role, name, source_identity=source_identity)

    def client(self, service: str, session: Session | None = None, *, region: str | None = None) -> Any:
        """Return a boto3 client of this AWS without retries; by default with the bot's credentials."""
        session = session or self.world.bot
        return _boto3().client(
            service,  # type: ignore[call-overload]  # the stubs have one overload for each service name
            endpoint_url=self.endpoint,
            region_name=region or sample.REGION,
            aws_access_key_id=session.access_key_id,
            aws_secret_access_key=session.secret_access_key,
            aws_session_token=session.session_token or None,
            config=Config(retries={"total_max_attempts": 1}, proxies={}),
        )

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one HTTP request: control calls, issuer documents, role credentials, or a call of AWS."""
        path = environ["PATH_INFO"]
        if path.startswith(PREFIX):
            return self.control.answer(Request(environ))(environ, start_response)
        if path.startswith(ISSUER):
            return self.web_identities.answer(Request(environ))(environ, start_response)
        if path == ROLE_PATH:
            return self.role_endpoint.answer(self.world.bot)(environ, start_response)
        if path.startswith("/moto-api"):  # moto's own API would reset moto but not the simulator
            return Response("", 404)(environ, start_response)
        return self.front(environ, start_response)

    def _operations(self, steps_shown: int | None) -> Operations:
        return {
            ("sts", "AssumeRole"): partial(identities.assume_role, self.callers),
            ("sts", "GetCallerIdentity"): identities.get_caller_identity,
            ("sts", "GetWebIdentityToken"): self.web_identities.get_web_identity_token,
            **JitOperations(
                self.state,
                callers=self.callers,
                steps_shown=steps_shown,
                cancellers=frozenset({sample.CANCELLER}),
                givers=frozenset({sample.GIVER}),
            ).table(),
            **self.sessions.table(),
            **JitDocuments(self.state).table(),
            **self.nodes.table(),
            **self.identity_center.table(),
        }

    def _serve(self, port: int) -> None:
        self._server = HttpServer(self, port=port)
        self.endpoint = self.web_identities.endpoint = self._server.endpoint

    def _populate(self) -> None:
        bot, requester = sample.admit(self.callers)
        ec2, sqs, ssm = (self.client(name, bot) for name in ("ec2", "sqs", "ssm"))
        self.world = sample.build(
            ec2=ec2, sqs=sqs, ssm=ssm, nodes=self.nodes, bot=bot, requester=requester, locale=self._locale
        )
        for client in (ec2, sqs, ssm):
            client.close()
        self.control.world = self.world
        self._log.clear()


def _reset_moto() -> None:
    # Loading moto's 1,347 machine images takes 0.3 s at each start. The sandbox needs none. moto has no other switch.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    BackendDict.reset()
    reset_model_data()


@cache
def _boto3() -> boto3.session.Session:
    """Return one session for all clients: it caches the service models, which load slowly."""
    return boto3.session.Session()
