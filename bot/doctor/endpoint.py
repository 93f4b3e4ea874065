"""Checks the public address of the bot from outside, as Microsoft reaches it: `doctor --url`.

No token is sent, so the right answer is the bot's own 401. Certificates are verified against the system's own roots:
Microsoft does not know a company's certificate authority, even if this machine trusts it.
"""

import json
import os
import ssl
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from bot.service.checks.check import Problem
from bot.teams.net.proxies import EnvironmentProxies
from bot.web.server import MESSAGES

CERTIFICATE: Final = "endpoint_certificate"
UNREACHABLE: Final = "endpoint_unreachable"
WRONG: Final = "endpoint_wrong"
BODY_LIMIT: Final = "endpoint_body_limit"
TIMEOUT: Final = aiohttp.ClientTimeout(total=5, sock_connect=3)  # seconds, for each of two calls
LARGEST_ANSWER: Final = 64 * 1024  # bytes
LARGE: Final = 9 * 1024  # bytes; some web application firewalls refuse bodies above 8 KB, and cards are larger


class NotAnAddress(ValueError):
    """The text is not an address that Microsoft can call. The message says what to write."""


def endpoint_address(text: str) -> str:
    """Return the address of the endpoint, with the bot's path if only the host is given. Raises NotAnAddress."""
    try:
        parts = urlsplit(text.strip())
        host, _port = parts.hostname, parts.port  # both raise for what is no host or port
    except ValueError as error:
        raise NotAnAddress(f"this is not an address: {error}") from None
    if parts.scheme != "https" or not host:
        raise NotAnAddress(f"write an address like https://bot.example.com{MESSAGES}; Microsoft calls https only")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise NotAnAddress("write the address without a user, a query and a fragment")
    return parts._replace(path=MESSAGES).geturl() if parts.path in {"", "/"} else parts.geturl()


def public_roots() -> ssl.SSLContext:
    """Return a TLS context that trusts the system's certificate authorities only, whatever SSL_CERT_FILE says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    paths = ssl.get_default_verify_paths()
    file, folder = paths.openssl_cafile, paths.openssl_capath
    known = {"cafile": file if os.path.isfile(file) else None, "capath": folder if os.path.isdir(folder) else None}  # noqa: PTH112, PTH113
    context.load_verify_locations(**{name: path for name, path in known.items() if path})
    return context


async def endpoint_problem(address: str, tls: ssl.SSLContext) -> Problem | None:
    """Return what is wrong with the public address; None if the bot answers there as it must."""
    host, path = urlsplit(address).hostname, urlsplit(address).path
    if path != MESSAGES:
        return Problem(WRONG, f"the path is {path}, but the bot serves {MESSAGES}. Correct the messaging endpoint")
    connector = aiohttp.TCPConnector(ssl=tls, force_close=True)
    async with aiohttp.ClientSession(
        timeout=TIMEOUT, connector=connector, cookie_jar=aiohttp.DummyCookieJar(), middlewares=[EnvironmentProxies()]
    ) as session:
        try:
            small = await _answer(session, address, b"{}")
            return small or await _large_body(session, address)
        except aiohttp.ClientConnectorCertificateError as error:
            reason = getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
            return Problem(
                CERTIFICATE,
                f"Microsoft cannot verify the certificate of {host} ({reason}). Use a certificate of a public "
                "authority for this host name, and send the whole chain",
            )
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Problem(
                UNREACHABLE,
                f"{host} does not answer HTTPS ({type(error).__name__}). Check DNS, firewall, load balancer "
                "and that the bot runs; Microsoft calls from the internet",
            )


async def _large_body(session: aiohttp.ClientSession, address: str) -> Problem | None:
    problem = await _answer(session, address, json.dumps({"text": "x" * LARGE}).encode())
    if problem is None:
        return None
    return Problem(
        BODY_LIMIT,
        f"a body of {LARGE // 1024} KB is not answered like a small one ({problem.code}: {problem.advice}). Exclude "
        f"{MESSAGES} from the size rules of the web application firewall or proxy",
    )


async def _answer(session: aiohttp.ClientSession, address: str, body: bytes) -> Problem | None:
    """Send a body without a token. Return a problem unless the answer is the bot's 401."""
    headers = {"Content-Type": "application/json"}
    async with session.post(address, data=body, headers=headers, allow_redirects=False) as answer:
        if answer.status == HTTPStatus.UNAUTHORIZED and await _is_ours(answer):
            return None
        return Problem(WRONG, _advice(answer.status))


async def _is_ours(answer: aiohttp.ClientResponse) -> bool:
    try:
        found = json.loads(await answer.content.read(LARGEST_ANSWER))
    except (ValueError, RecursionError):
        return False
    return bool(found == {"error": HTTPStatus.UNAUTHORIZED.phrase})


def _advice(status: int) -> str:
    match status:
        case HTTPStatus.NOT_FOUND:
            return f"404: another program answers, or the proxy does not forward {MESSAGES}"
        case HTTPStatus.FORBIDDEN:
            return "403: a firewall or proxy refuses the call before the bot. Allow Microsoft's calls without a login"
        case HTTPStatus.UNAUTHORIZED:
            return "401, but not the bot's: a proxy asks for a login. Let the bot check the token itself"
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return "503: the bot has no signing keys yet, or the load balancer has no healthy target"
        case _ if 300 <= status < 400:
            return f"{status}: a redirect; Microsoft does not follow it. Give the address to which it leads"
        case _:
            return f"{status}: not the bot's answer. Check the proxy or load balancer in front of it"
