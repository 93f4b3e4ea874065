"""The program's own credentials, from boto3's standard chain; read again once AWS refuses them.

botocore renews credentials that say when they expire, such as a container's. It reads those of a shared file only once,
but another program may renew the file.
https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html
"""

import threading
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

import botocore.session
from boto3.session import Session
from botocore.config import Config
from botocore.utils import parse_timestamp

from bot import DISTRIBUTION
from bot.boto.failures import RAISED
from bot.boto.fields import timestamp
from bot.boto.models import UsedParts

USER_AGENT: Final = f"{DISTRIBUTION}/{version(DISTRIBUTION)}"
"""What CloudTrail shows as `userAgent`, before boto3's version. The SDK would compose its own twice for each call, in a
fifth of the call's CPU."""


class OwnCredentials:
    """The current boto3 session, from the standard chain, or `given`, which never changes. Thread-safe."""

    def __init__(self, given: Session | None = None) -> None:
        self._given, self._session = given, given
        self._read: object = None  # the credentials that the chain had when the session was made
        self._loader: Any = None  # shared by all sessions: it caches the service models, which are slow to load
        self._lock = threading.Lock()

    @property
    def session(self) -> Session:
        """The current session. Raises an error of RAISED if the configuration names a profile that does not exist."""
        with self._lock:
            if self._session is None:
                self._session = self._new_session()
                self._read = _credentials(self._session)
            return self._session

    def renew(self, refused: Session) -> bool:
        """Read the chain again after AWS refused the credentials of a session. Return True if the chain has others.

        A session whose credentials are still those of the chain stays, because its connections can be reused.
        """
        if self._given:
            return False
        with self._lock:
            if self._session is refused:
                self._read_again()
            return self._session is not refused

    def _read_again(self) -> None:
        try:
            session = self._new_session()
        except RAISED:
            return
        found = _credentials(session)
        if found and found != self._read:
            self._session, self._read = session, found

    def _new_session(self) -> Session:
        core = botocore.session.get_session()
        # Old profiles select the global STS endpoint, which has no GetWebIdentityToken; regional endpoints have it.
        core.set_config_variable("sts_regional_endpoints", "regional")
        if self._loader:
            core.register_component("data_loader", self._loader)
        core.get_component("data_loader").file_loader = UsedParts()
        core.set_default_client_config(Config(user_agent=USER_AGENT))
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
        self._loader = core.get_component("data_loader")
        return Session(botocore_session=core)


def _moment(value: Any) -> datetime:
    """Return a time of an answer in UTC.

    botocore converts each to the local time zone, which takes longer. It does so here for what `timestamp` does not
    read. Raises ValueError, OverflowError.
    """
    if isinstance(value, (int, float)) and (sent := timestamp(value)):
        return sent
    try:
        found: datetime = parse_timestamp(value)
    except RuntimeError as error:  # for a number beyond the system's calendar
        raise ValueError(str(error)) from error
    return found


def _credentials(session: Session) -> object:
    """Return the credentials with which a session signs now; None if there are none or they cannot be read."""
    try:
        credentials = session.get_credentials()
        return credentials and credentials.get_frozen_credentials()
    except RAISED:
        return None
