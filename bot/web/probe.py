"""Reads the health of the bot on this machine, for `node-access-bot health`."""

import http.client
import json
from typing import Any, Final

TIMEOUT: Final = 5.0  # seconds; container platforms usually stop a health check after this time
LARGEST_ANSWER: Final = 1024 * 1024  # bytes
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (an address to listen on is no address to connect to)


class NoAnswer(Exception):
    """The bot does not answer, or something else answers at its address."""


def probe(host: str, port: int, path: str) -> tuple[bool, Any]:
    """Return whether the status is 200, and the JSON of the answer. Raises NoAnswer."""
    host = _ANY.get(host, host)
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        with connection.getresponse() as answer:
            return answer.status == http.client.OK, json.loads(answer.read(LARGEST_ANSWER))
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(f"{host}:{port}: {error or type(error).__name__}") from error
    except ValueError as error:
        raise NoAnswer(f"{host}:{port} answers something else; is it the port of another program?") from error
    finally:
        connection.close()
