"""The one wrapper around boto3's untyped clients: blocking calls, with time-outs, for any thread.

Credentials, endpoints and proxies come from boto3's standard chain, the Region from the caller. Retries nothing, for
only the caller knows what may be made twice. Importing or constructing starts nothing.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import IncompleteReadError
from botocore.parsers import ResponseParserError

from bot.boto.failures import RAISED, classified
from bot.boto.fields import mapping, whole
from bot.ports.aws import RoleSession

Answer = Mapping[str, object]

CONNECT_SECONDS = 2.0  # AWS's endpoints take a connection within a fraction; a dead one must not use up a claim's time
READ_SECONDS = 10.0  # a slow answer is still one; claims are held for longer, and a look's lease is renewed meanwhile
SHORT_READ_SECONDS = 5.0  # signals and AssumeRole: a claim is held for 25 seconds, and renewed in between; credentials
POLL_SECONDS = 5  # a long poll; no longer, for SIGTERM drains within 20
_READ_SECONDS_OF: Final[Mapping[str, float]] = MappingProxyType(
    {
        "sqs": POLL_SECONDS + READ_SECONDS,
        "sts": SHORT_READ_SECONDS,
        "secretsmanager": SHORT_READ_SECONDS,
        "sso-admin": SHORT_READ_SECONDS,  # and the next: looked up one after the other
        "identitystore": SHORT_READ_SECONDS,
    }
)
ERROR = 300  # HTTP statuses from here on are errors, which botocore raises by itself
CONNECTIONS = 30  # kept per client: as many as there are threads


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a role's session signs with. Its secrets are in no repr."""

    session: RoleSession
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One call: boto3's names for service and operation, AWS's for the parameters."""

    service: str
    region: str
    operation: str
    params: Mapping[str, object]


class Sdk:
    """Makes calls. Credentials None: the program's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: boto3.session.Session | None = None
        self._kept: dict[tuple[str, str, RoleSession | None], tuple[str, Any]] = {}

    def call(self, call: Call, credentials: Credentials | None) -> Answer:
        """Make a call on a connection that is kept; raise CallFailed."""
        try:
            return _made(self._kept_client(call, credentials), call)
        except RAISED as error:
            raise classified(error) from error

    def call_once(self, call: Call, credentials: Credentials | None) -> Answer:
        """Make a call on a connection of its own; raise CallFailed.

        AWS may close an idle connection just when it is used again, and nobody can tell then whether the call arrived.
        A new connection has no such doubt, and no other person's session.
        """
        try:
            with self._lock:
                client = self._new_client(call, credentials, SHORT_READ_SECONDS)
            try:
                return _made(client, call)
            finally:
                client.close()
        except RAISED as error:
            raise classified(error) from error

    def close(self) -> None:
        """Close every connection that is kept."""
        with self._lock:
            for _, client in self._kept.values():
                client.close()
            self._kept.clear()

    def _kept_client(self, call: Call, credentials: Credentials | None) -> Any:
        """Return the client for a service, Region and role; a role's new session gets a new one."""
        whose = (call.service, call.region, credentials.session if credentials else None)
        key = credentials.access_key_id if credentials else ""
        with self._lock:
            known, client = self._kept.get(whose, (None, None))
            if known == key:
                return client
            if client is not None:
                client.close()
            made = self._new_client(call, credentials, _READ_SECONDS_OF.get(call.service, READ_SECONDS))
            self._kept[whose] = (key, made)
            return made

    def _new_client(self, call: Call, credentials: Credentials | None, read_seconds: float) -> Any:
        if self._session is None:
            self._session = _new_session()  # one: it keeps the service models, which take long to read
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read_seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=CONNECTIONS,
        )
        make: Any = self._session.client  # the stubs know services by literals only
        client = make(call.service, region_name=call.region, config=config, **_as_arguments(credentials))
        client.meta.events.register("before-parse", _refuse_nonsense)
        return client


def _new_session() -> boto3.session.Session:
    # The global STS endpoint has no GetWebIdentityToken, and old profiles still ask for it; a Region's own has all.
    core = botocore.session.get_session()
    core.set_config_variable("sts_regional_endpoints", "regional")
    return boto3.session.Session(botocore_session=core)


def _refuse_nonsense(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Raise for half of a body, and for a proxy's page: botocore takes both for an answer without members."""
    promised, body = whole(response_dict["headers"].get("content-length")), response_dict["body"]
    if promised is not None and len(body) < promised:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=promised)
    speaks_json = operation_model.service_model.resolved_protocol == "json"
    if speaks_json and response_dict["status_code"] < ERROR and body.strip() and not body.lstrip().startswith(b"{"):
        raise ResponseParserError("an answer in another language")


def _made(client: Any, call: Call) -> Answer:
    return mapping(getattr(client, call.operation)(**call.params))


def _as_arguments(credentials: Credentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    return {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
        "aws_session_token": credentials.session_token,
    }
