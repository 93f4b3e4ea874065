"""Sessions on nodes: people open and close them, and DescribeSessions lists them. Thread-safe.

A session outlives the access with which it was opened, as in AWS.
"""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from bot.sandbox.aws.callers import Caller
from bot.sandbox.aws.errors import AwsError
from bot.sandbox.aws.jit.assumptions import SessionEnd, SessionOwner
from bot.sandbox.aws.jit.filters import page
from bot.sandbox.aws.jit.operations import TOKEN_ROLE, Operation, Params
from bot.sandbox.aws.jit.requests import Status
from bot.sandbox.aws.jit.state import JitState, Place

DOCUMENT: Final = "SSM-SessionManagerRunShell"  # the only one that a token of just-in-time access allows
LONGEST_PAGE: Final = 200  # the model's maximum of MaxResults
_TEXTS: Final[dict[str, Callable[[dict[str, Any]], object]]] = {
    "Target": lambda row: row["Target"],
    "Owner": lambda row: row.get("Owner"),
    "Status": lambda row: row["Status"],
    "SessionId": lambda row: row["SessionId"],
}


@dataclass(frozen=True, slots=True)
class NodeSession:
    """One session. `opener` is the ARN of the role session that started it."""

    id: str
    place: Place
    node: str
    opener: str
    just_in_time: bool
    started_at: datetime
    ended_at: datetime | None = None


class NodeSessions:
    """The sessions of every account and Region. `enders` are names of roles that may end other people's sessions."""

    def __init__(self, state: JitState, *, enders: frozenset[str]) -> None:
        self._state, self._now, self._assumed, self._enders = state, state.now, state.assumed, enders
        self._sessions: dict[str, NodeSession] = {}
        self._lock = threading.Lock()

    def table(self) -> dict[tuple[str, str], Operation]:
        """Return the operations of this class, by service and operation."""
        return {
            ("ssm", "StartSession"): self.start_session,
            ("ssm", "TerminateSession"): self.terminate_session,
            ("ssm", "DescribeSessions"): self.describe_sessions,
        }

    def start_session(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Open a session for any caller: in AWS, too, a person may have the permission without a request.

        Raises AwsError for the token of a revoked request, unless tokens outlive the revocation.
        """
        if self._was_revoked(caller) and not self._assumed.tokens_outlive_revocation:
            raise _denied(caller, "ssm:StartSession")
        name = f"{caller.session.session_name}-{secrets.token_hex(8)}"
        just_in_time = caller.role == TOKEN_ROLE
        place = (caller.account, caller.region)
        with self._lock:
            self._sessions[name] = NodeSession(name, place, params["Target"], caller.arn, just_in_time, self._now())
        return {"SessionId": name, "TokenValue": secrets.token_urlsafe(32), "StreamUrl": f"wss://localhost/{name}"}

    def terminate_session(self, caller: Caller, params: Params) -> dict[str, Any]:
        """End a session of the caller; a role that ends sessions may end any. Any session id is accepted, as in AWS.

        Raises AwsError for other callers, which IAM would refuse, and if that is assumed of AWS.
        """
        name = params["SessionId"]
        with self._lock:
            found = self._in_place(caller, name)
            ends = self._ends_any(caller) if caller.role in self._enders else _is_opener(caller, found)
            if found and ends:
                self._sessions[name] = replace(found, ended_at=found.ended_at or self._now())
        return {"SessionId": name}

    def describe_sessions(self, caller: Caller, params: Params) -> dict[str, Any]:
        """Return a page of the sessions in a state that pass the filters, the newest first.

        Raises AwsError for a filter that AWS does not know, and if the list is not allowed.
        """
        if not self._assumed.sessions_allowed:
            raise _denied(caller, "ssm:DescribeSessions")
        active = params["State"] == "Active"
        with self._lock:
            own = [each for each in self._sessions.values() if each.place == (caller.account, caller.region)]
        listed = [each for each in own if (each.ended_at is None) is active]
        wanted = params.get("Filters", [])
        rows = [self._shape(each) for each in listed if all(self._passes(each, one) for one in wanted)]
        rows.sort(key=lambda row: row["StartDate"], reverse=True)
        shown, more = page(rows, {"MaxResults": LONGEST_PAGE, **params}, "InvalidNextToken")
        return {"Sessions": shown, **more}

    def opened_by(self, requester: str, nodes: tuple[str, ...]) -> list[str]:
        """Return the ids of the open sessions on these nodes whose opener has the requester's session name."""
        name = requester.rpartition("/")[2]
        with self._lock:
            found = [each for each in self._sessions.values() if each.node in nodes and each.ended_at is None]
        return [each.id for each in found if each.opener.rpartition("/")[2] == name]

    def _in_place(self, caller: Caller, name: str) -> NodeSession | None:
        found = self._sessions.get(name)
        return found if found and found.place == (caller.account, caller.region) else None

    def _ends_any(self, caller: Caller) -> bool:
        """Return whether a call in a role that ends sessions has an effect. Raises AwsError if AWS refuses it."""
        match self._assumed.session_end:
            case SessionEnd.DENIED:
                raise _denied(caller, "ssm:TerminateSession")
            case SessionEnd.THROTTLED:
                raise AwsError("ThrottlingException", "Rate exceeded")
            case end:
                return end is SessionEnd.ENDS

    def _was_revoked(self, caller: Caller) -> bool:
        asked = caller.session.access_request
        request = self._state.find(asked, account=caller.account, region=caller.region) if asked else None
        return request is not None and request.status is Status.REVOKED

    def _passes(self, session: NodeSession, wanted: dict[str, str]) -> bool:
        key, value = wanted["key"], wanted["value"]
        if key == "AccessType" and self._assumed.session_filter_known:
            return value == ("JustInTime" if session.just_in_time else "Standard")
        if key == "InvokedAfter":
            return session.started_at > datetime.fromisoformat(value).astimezone(UTC)
        if key in _TEXTS:
            return _TEXTS[key](self._shape(session)) == value
        raise AwsError("InvalidFilterKey", f"There is no filter {key}.")

    def _shape(self, session: NodeSession) -> dict[str, Any]:
        shape: dict[str, Any] = {
            "SessionId": session.id,
            "Target": session.node,
            "Status": "Terminated" if session.ended_at else "Connected",
            "StartDate": session.started_at,
            "EndDate": session.ended_at,
            "DocumentName": DOCUMENT,
            "Owner": self._owner(session),
            "OutputUrl": {},
            "AccessType": self._access_type(session),
        }
        return {name: value for name, value in shape.items() if value is not None}

    def _access_type(self, session: NodeSession) -> str | None:
        if not self._assumed.session_type_shown:
            return None
        return "JustInTime" if session.just_in_time else "Standard"

    def _owner(self, session: NodeSession) -> str | None:
        match self._assumed.session_owner:
            case SessionOwner.NAMED:
                return session.opener
            case SessionOwner.RANDOM:
                return f"{session.opener.rpartition('/')[0]}/{session.id[-12:]}"
            case SessionOwner.ABSENT:
                return None


def _is_opener(caller: Caller, session: NodeSession | None) -> bool:
    """Return True for a session of the caller's own. Raises AwsError for any other, as IAM does."""
    if session is None or caller.session.session_name != session.opener.rpartition("/")[2]:
        raise _denied(caller, "ssm:TerminateSession")
    return True


def _denied(caller: Caller, action: str) -> AwsError:
    return AwsError("AccessDeniedException", f"{caller.arn} is not authorized to perform: {action}")
