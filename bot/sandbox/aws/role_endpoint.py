"""Where a container's SDK reads the credentials of its role, as Amazon ECS has it: then none are in its environment.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

import json
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from werkzeug.wrappers import Response

from bot.sandbox.aws.callers import DEFAULT_SESSION, Session

ROLE_PATH: Final = "/_role/credentials"


class RoleEndpoint:
    """Hands out one session's credentials; SDKs ask again before they end."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now

    def environment(self, endpoint: str) -> dict[str, str]:
        """Return the variables that lead the standard boto3 chain here, whatever files there are on this machine."""
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{endpoint}{ROLE_PATH}",
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_CONFIG_FILE": os.devnull,
        }

    def answer(self, session: Session) -> Response:
        """Answer an SDK."""
        told = {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": (self._now() + timedelta(seconds=DEFAULT_SESSION)).isoformat(),
        }
        return Response(json.dumps(told), content_type="application/json")
