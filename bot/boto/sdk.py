"""The only wrapper around boto3's untyped clients: blocking calls with time-outs, from any thread.

Credentials, endpoints and proxies come from boto3's standard chain, the Region from the caller. Never retries, because
only the caller knows which calls may be repeated; except once with renewed credentials, after AWS refused the old ones.
Importing or constructing starts nothing.
"""

import json
import threading
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import ClientError, IncompleteReadError
from botocore.parsers import ResponseParserError
from botocore.response import StreamingBody
from cachetools import LRUCache

from bot.boto.failures import RAISED, CallFailed, Failure, classify, concerns_credentials
from bot.boto.fields import mapping, whole
from bot.boto.own_credentials import OwnCredentials
from bot.ports.aws import RoleSession

Answer = Mapping[str, object]

# AWS's endpoints accept connections much faster; an unreachable one must not use up a claim's time
CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0  # tolerates slow answers; a claim is held for longer, and leases are renewed meanwhile
SHORT_READ_SECONDS = 5.0  # signals, AssumeRole and secrets: a claim is held for 25 seconds and renewed in between
POLL_SECONDS = 5  # a long poll; no longer, because SIGTERM drains within 20
_READ_SECONDS_OF: Final[Mapping[str, float]] = MappingProxyType(
    {
        "sqs": POLL_SECONDS + READ_SECONDS,
        "sts": SHORT_READ_SECONDS,
        "secretsmanager": SHORT_READ_SECONDS,
        "s3": SHORT_READ_SECONDS,
        "sso-admin": SHORT_READ_SECONDS,  # a lookup calls this service and then the next one
        "identitystore": SHORT_READ_SECONDS,
    }
)
ERROR = 300  # HTTP statuses from here on are errors, which botocore raises itself
NOT_MODIFIED = 304  # the answer to a conditional read of something that has not changed
LARGEST_BODY = 2**20  # bytes of a body that AWS streams; only node-access.toml is read in this way
BODY_TOO_LARGE: Final = "BodyTooLarge"
CONNECTIONS = 30  # kept open per client, about as many as there are threads
SENDERS_KEPT = 32  # clients without a connection, each of one session: to make one takes more CPU than its call
_NEVER_EMPTY: Final = frozenset({"dynamodb"})  # services that always answer with a body; SQS often does not


@dataclass(frozen=True, slots=True)
class Credentials:
    """Credentials of a role session. Their secrets never appear in a repr."""

    session: RoleSession
    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One call: service and operation as boto3 names them, parameters as AWS does."""

    service: str
    region: str
    operation: str
    params: Mapping[str, object]


class Sdk:
    """Makes calls, with the program's own credentials unless a call brings others.

    `seconds` limits connecting and an answer, instead of this module's limits. `connections` is the number of idle
    connections that each client keeps. `session` is a boto3 session, for credentials other than those of the standard
    chain.
    """

    def __init__(
        self,
        *,
        seconds: float | None = None,
        connections: int = CONNECTIONS,
        session: Session | None = None,
    ) -> None:
        self._seconds, self._connections = seconds, connections
        self._lock = threading.Lock()
        self._own = OwnCredentials(session)
        self._kept: dict[tuple[str, str, RoleSession | None], tuple[object, Any]] = {}
        self._senders: LRUCache[tuple[str, str, object], Any] = LRUCache(SENDERS_KEPT)

    def call(self, call: Call, credentials: Credentials | None) -> Answer:
        """Make a call on a kept connection. Raises CallFailed.

        If AWS refuses the program's own credentials, the call had no effect, and is repeated with new ones, if any.
        """
        own = self._own_session()
        try:
            return self._call(call, credentials, own)
        except CallFailed as failed:
            if credentials or not self._renewed(failed, own):
                raise
        return self._call(call, None, self._own_session())

    def call_once(self, call: Call, credentials: Credentials | None) -> Answer:
        """Make a call on a new connection, and never repeat it. Raises CallFailed.

        AWS may close an idle connection just as it is reused, and then it is unknown whether the call arrived. A new
        connection avoids that, and never carries another person's session. After a success, a client is kept for
        further calls with the same credentials, without its connection. Only one call at a time has it.
        """
        own = self._own_session()
        key = (call.service, call.region, credentials or own)
        try:
            with self._lock:
                client = self._senders.pop(key, None)
                if client is None:
                    client = self._new_client(call, credentials, own, SHORT_READ_SECONDS)
            try:
                answer = _answer(client, call)
            finally:
                disconnect(client)
        except RAISED as error:
            failed = classify(error)
            if credentials is None:
                self._renewed(failed, own)  # for the next call
            raise failed from error
        with self._lock:
            self._senders[key] = client
        return answer

    def close(self) -> None:
        """Close all kept connections."""
        with self._lock:
            for _, client in self._kept.values():
                client.close()
            self._kept.clear()
            self._senders.clear()

    def _own_session(self) -> Session:
        try:
            return self._own.session
        except RAISED as error:
            raise classify(error) from error

    def _call(self, call: Call, credentials: Credentials | None, own: Session) -> Answer:
        try:
            return _answer(self._kept_client(call, credentials, own), call)
        except RAISED as error:
            raise classify(error) from error

    def _renewed(self, failed: CallFailed, own: Session) -> bool:
        """Return True if a call failed because of the program's own credentials, and there are new ones."""
        return concerns_credentials(failed) and self._own.renew(own)

    def _kept_client(self, call: Call, credentials: Credentials | None, own: Session) -> Any:
        """Return the client for a service, Region and session; new credentials of a session get a new client."""
        key = (call.service, call.region, credentials.session if credentials else None)
        signer = credentials.access_key_id if credentials else own
        with self._lock:
            known, client = self._kept.get(key, (None, None))
            if known == signer:
                return client
            if client is not None:
                client.close()
            made = self._new_client(call, credentials, own, _READ_SECONDS_OF.get(call.service, READ_SECONDS))
            self._kept[key] = (signer, made)
            return made

    def _new_client(self, call: Call, credentials: Credentials | None, own: Session, read_seconds: float) -> Any:
        config = Config(
            connect_timeout=self._seconds or CONNECT_SECONDS,
            read_timeout=self._seconds or read_seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=self._connections,
        )
        make: Any = own.client  # the stubs type services by literals only
        client = make(call.service, region_name=call.region, config=config, **_as_arguments(credentials))
        client.meta.events.register("before-parse", _refuse_malformed)
        return client


def disconnect(client: Any) -> None:
    """Close the connections of a client. Its next call opens a new one."""
    client.close()


def _refuse_malformed(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    """Refuse half a body and a proxy's page: botocore reads both as an answer without members.

    Raises IncompleteReadError or ResponseParserError, or ValueError for text that is not JSON.
    """
    promised, body = whole(response_dict["headers"].get("content-length")), response_dict["body"]
    if isinstance(body, StreamingBody) or response_dict["status_code"] == NOT_MODIFIED:
        return  # a stream checks its own length; 304 has no body, but may have the length of the unchanged one
    if promised is not None and len(body) < promised:
        raise IncompleteReadError(actual_bytes=len(body), expected_bytes=promised)
    service = operation_model.service_model
    if service.resolved_protocol != "json" or response_dict["status_code"] >= ERROR:
        return
    if not body and service.service_name not in _NEVER_EMPTY:
        return
    answer = json.loads(body.decode(), parse_constant=_refuse)  # as bytes, it could be in other encodings
    if not isinstance(answer, dict):
        raise ResponseParserError("the answer is not a JSON object")
    for name in answer.keys() & _rows_as_sent(operation_model):
        rows = answer[name]
        if rows is not None and not (isinstance(rows, list) and all(isinstance(each, dict) for each in rows)):
            raise ResponseParserError("a row is not a JSON object")


def _rows_as_sent(operation_model: Any) -> set[str]:
    """Return the members of an operation's answer whose rows botocore returns without a check (`models.AS_SENT`)."""
    members = operation_model.output_shape.members if operation_model.output_shape else {}
    lists = {name: each for name, each in members.items() if each.type_name == "list"}
    return {name for name, each in lists.items() if each.member.metadata.get("document")}


def _refuse(constant: str) -> object:
    """Raise ResponseParserError for NaN and Infinity, which Python reads although they are not JSON."""
    raise ResponseParserError(f"{constant} is not JSON")


def _answer(client: Any, call: Call) -> Answer:
    try:
        answer = mapping(getattr(client, call.operation)(**call.params))
    except ClientError as error:
        if status_of(mapping(error.response)) == NOT_MODIFIED:
            return {"ResponseMetadata": error.response["ResponseMetadata"]}
        raise
    body = answer.get("Body")
    return {**answer, "Body": _whole(body)} if isinstance(body, StreamingBody) else answer


def status_of(answer: Answer) -> object:
    """Return the HTTP status of an answer."""
    return mapping(answer.get("ResponseMetadata")).get("HTTPStatusCode")


def _whole(body: StreamingBody) -> bytes:
    """Read a streamed body. Raises CallFailed if it is larger than LARGEST_BODY, and errors of RAISED."""
    with closing(body):
        read = b""
        for chunk in body.iter_chunks(LARGEST_BODY + 1):
            read += chunk
            if len(read) > LARGEST_BODY:
                raise CallFailed(BODY_TOO_LARGE, Failure.REFUSED)
        return read


def _as_arguments(credentials: Credentials | None) -> dict[str, str]:
    if credentials is None:
        return {}
    return {
        "aws_access_key_id": credentials.access_key_id,
        "aws_secret_access_key": credentials.secret_access_key,
        "aws_session_token": credentials.session_token,
    }
