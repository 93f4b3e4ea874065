"""Callers: access keys, the sessions that AssumeRole returns, their tokens and source identities.

Replaces moto's STS, which accepts any key and drops the source identity. IAM policies are not simulated, except for
who may stop an approval (`jit.operations`) and end a session (`jit.sessions`). A role that the sandbox does not know
cannot be assumed.
"""

import json
import os
import re
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from moto.iam.models import iam_backends
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.trust import Assumption, is_trusted

_CREDENTIAL = re.compile(r"Credential=(?P<key>\w+)/\d+/(?P<region>[\w-]+)/(?P<service>[\w-]+)/aws4_request")
_ROLE = re.compile(r"arn:aws:iam::(?P<account>\d{12}):role/(?:.+/)?(?P<name>[\w+=,.@-]+)")
_ALPHABET = string.ascii_uppercase + string.digits
DEFAULT_SESSION = 3600  # seconds, as STS
ROLE_PATH: Final = "/_role/credentials"


@dataclass(frozen=True, slots=True)
class Session:
    """One set of credentials and its principal."""

    access_key_id: str
    secret_access_key: str
    session_token: str  # empty for a bootstrap key
    role_arn: str
    session_name: str
    source_identity: str = ""
    expires_at: datetime | None = None
    access_request: str = ""  # id of the access request that gave these credentials; empty for all others

    @property
    def account(self) -> str:
        """The account of the role."""
        return self.role_arn.split(":")[4]

    @property
    def arn(self) -> str:
        """The ARN that CloudTrail would show."""
        return f"arn:aws:sts::{self.account}:assumed-role/{self.role_arn.rpartition('/')[2]}/{self.session_name}"

    def environment(self) -> dict[str, str]:
        """Return the environment variables from which boto3 reads these credentials."""
        named = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class Caller:
    """The signer of one call, with the Region and service of the signature."""

    session: Session
    region: str
    service: str

    @property
    def arn(self) -> str:
        """The session's ARN."""
        return self.session.arn

    @property
    def account(self) -> str:
        """The session's account."""
        return self.session.account

    @property
    def role(self) -> str:
        """The name of the session's role."""
        return self.session.role_arn.rpartition("/")[2]


class Callers:
    """All credentials that the sandbox has issued, and all roles that callers may assume. `now` is its clock."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._sessions: dict[str, Session] = {}
        self._roles: dict[str, str] = {}
        self._trust: dict[str, Mapping[str, Any]] = {}
        self._lock = threading.Lock()

    def add_role(self, role_arn: str, *, external_id: str = "", trust: Mapping[str, Any] | None = None) -> None:
        """Add a role that callers may assume. With `external_id`, callers must send this id.

        `trust` is its trust policy; without one, every caller is trusted.

        Raises ValueError for a text that is not a role's ARN.
        """
        if not _ROLE.fullmatch(role_arn):
            raise ValueError(role_arn)
        with self._lock:
            self._roles[role_arn] = external_id
            self._trust.pop(role_arn, None)
            if trust is not None:
                self._trust[role_arn] = trust

    def bootstrap(self, access_key_id: str, *, role_arn: str, session_name: str) -> Session:
        """Add an access key for a role without AssumeRole, as a hosting platform provides it."""
        return self._admit(Session(access_key_id, secrets.token_hex(20), "", role_arn, session_name))

    def assume(
        self,
        role_arn: str,
        session_name: str,
        *,
        source_identity: str = "",
        external_id: str = "",
        seconds: int | None = None,
        by: str = "",
    ) -> Session:
        """Return a new session of a role. Without `seconds`, the session does not expire.

        `by` is the ARN of the caller's role. Raises AwsError AccessDenied for an unknown role, a wrong external id, or
        a caller that the role's trust policy does not allow.
        """
        demanded, trust = self._roles.get(role_arn), self._trust.get(role_arn)
        assumption = Assumption(by, session_name, source_identity, external_id)
        if (
            demanded is None
            or (demanded and demanded != external_id)
            or (trust is not None and not is_trusted(trust, assumption))
        ):
            raise AwsError("AccessDenied", f"not authorized to perform: sts:AssumeRole on resource: {role_arn}", 403)
        until = None if seconds is None else self._now() + timedelta(seconds=seconds)
        return self._temporary(role_arn, session_name, source_identity=source_identity, until=until)

    def issue(self, to: Session, *, role: str, until: datetime, access_request: str) -> Session:
        """Return credentials that AWS itself gives a person: a session of this role with the person's session name."""
        arn = f"arn:aws:iam::{to.account}:role/{role}"
        return self._temporary(arn, to.session_name, until=until, access_request=access_request)

    def known(self, access_key_id: str) -> Session:
        """Return the session of an access key that was issued here. Raises KeyError for any other."""
        return self._sessions[access_key_id]

    def expire(self, session: Session) -> None:
        """Let a session expire now."""
        with self._lock:
            self._sessions[session.access_key_id] = replace(session, expires_at=self._now())

    def of(self, headers: Headers) -> Caller:
        """Return the signer of a call. Raises AwsError if its key or session token is missing, unknown or expired.

        The signature itself is not verified.
        """
        found = _CREDENTIAL.search(headers.get("Authorization", ""))
        if not found:
            raise AwsError("MissingAuthenticationToken", "The request is not signed.", 403)
        session = self._sessions.get(found["key"])
        if session is None or headers.get("X-Amz-Security-Token", "") != session.session_token:
            raise AwsError("UnrecognizedClientException", "The security token included in the request is invalid.")
        if session.expires_at and self._now() >= session.expires_at:
            raise AwsError("ExpiredTokenException", "The security token included in the request is expired.")
        return Caller(session, found["region"], found["service"])

    def _temporary(
        self,
        role_arn: str,
        session_name: str,
        *,
        source_identity: str = "",
        until: datetime | None,
        access_request: str = "",
    ) -> Session:
        session = Session(
            access_key_id="ASIA" + "".join(secrets.choice(_ALPHABET) for _ in range(16)),
            secret_access_key=secrets.token_hex(20),
            session_token=secrets.token_urlsafe(96),
            role_arn=role_arn,
            session_name=session_name,
            source_identity=source_identity,
            expires_at=until,
            access_request=access_request,
        )
        return self._admit(session)

    def _admit(self, session: Session) -> Session:
        with self._lock:
            self._sessions[session.access_key_id] = session
        # moto finds the account of a call by its key, and has no public API to add one.
        backend = iam_backends[session.account]["aws"]
        backend.access_keys[session.access_key_id] = backend.create_temp_access_key()
        return session


def assume_role(callers: Callers, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Answer sts:AssumeRole. The new session keeps the source identity of the caller's session.

    Raises AwsError AccessDenied as `assume` does, and for a different source identity.
    """
    identity = caller.session.source_identity or params.get("SourceIdentity", "")
    if params.get("SourceIdentity", identity) != identity:
        raise AwsError("AccessDenied", "The source identity of a session cannot be changed.", 403)
    session = callers.assume(
        params["RoleArn"],
        params["RoleSessionName"],
        source_identity=identity,
        external_id=params.get("ExternalId", ""),
        seconds=params.get("DurationSeconds", DEFAULT_SESSION),
        by=caller.session.role_arn,
    )
    return {
        "Credentials": {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "SessionToken": session.session_token,
            "Expiration": session.expires_at,
        },
        "AssumedRoleUser": {"AssumedRoleId": _user_id(session), "Arn": session.arn},
        "PackedPolicySize": 6,
        **({"SourceIdentity": identity} if identity else {}),
    }


def get_caller_identity(caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
    """Answer sts:GetCallerIdentity."""
    return {"UserId": _user_id(caller.session), "Account": caller.account, "Arn": caller.arn}


def _user_id(session: Session) -> str:
    return f"AROA{session.access_key_id[-12:]}:{session.session_name}"


class RoleEndpoint:
    """Serves role credentials like Amazon ECS: the SDK fetches them, so that the environment contains none.

    SDKs fetch the credentials again before they expire.
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
    """

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now

    def environment(self, endpoint: str) -> dict[str, str]:
        """Return variables with which boto3 reads credentials from this endpoint and not from the machine's files."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint}{ROLE_PATH}",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }

    def answer(self, session: Session) -> Response:
        """Return a session's credentials, valid for an hour from now, in the form that SDKs expect."""
        credentials = {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": (self._now() + timedelta(seconds=DEFAULT_SESSION)).isoformat(),
        }
        return Response(json.dumps(credentials), content_type="application/json")
