"""Spoilt activities without end: whatever a stranger, a broken client or a newer Teams might send."""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    1.5,
    "",
    "x",
    "\ud800",
    "\x00",
    [],
    [[]],
    [None],
    {},
    {"": None},
    {"id": 5},
    "あ" * 50,
)
METHODS = ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "PROPFIND")
PATHS = (
    "/",
    "/api/messages/",
    "/api/messages/x",
    "/api//messages",
    "/livez/..",
    "/readyz?a=%ff",
    "/%00",
    "/" + "a" * 4000,
)


def mutations(rng: random.Random, good: Json) -> Iterator[bytes]:
    """Yield activities with one or more places changed, and texts that are hardly JSON any more."""
    while True:
        body = copy.deepcopy(good)
        for _ in range(rng.randint(1, 4)):
            _spoil(rng, body)
        raw = json.dumps(body).encode()
        yield raw if rng.random() < 0.9 else _scramble(rng, raw)


def _spoil(rng: random.Random, body: Any) -> None:
    while isinstance(body, dict | list) and body:
        key = rng.choice(list(body)) if isinstance(body, dict) else rng.randrange(len(body))
        if not isinstance(body[key], dict | list) or not body[key] or rng.random() < 0.4:
            break
        body = body[key]
    else:
        return
    if isinstance(body, dict) and rng.random() < 0.3:
        del body[key]
    else:
        body[key] = copy.deepcopy(rng.choice(JUNK))


def _scramble(rng: random.Random, raw: bytes) -> bytes:
    cut = rng.randrange(len(raw))
    match rng.randrange(4):
        case 0:
            return raw[:cut]
        case 1:
            return raw[:cut] + rng.randbytes(5) + raw[cut:]
        case 2:
            return b"[" * rng.randrange(1, 3000) + raw
        case _:
            return rng.randbytes(cut)


def headers(rng: random.Random, bearer: str) -> dict[str, str]:
    """Return headers, most of them good: what comes after the token is to be reached too."""
    found = {"Authorization": bearer}
    match rng.randrange(12):
        case 0:
            found["Content-Type"] = rng.choice(
                ["application/json; charset=nonsense", "application/json;;;", "text/json"]
            )
        case 1:
            found["Content-Encoding"] = rng.choice(["gzip", "deflate", "identity", "zstd", "gzip, gzip"])
        case 2:
            found["Authorization"] = rng.choice(["", "Bearer", "Bearer x.y.z", "Negotiate", bearer[:-9]])
        case 3:
            found["Expect"] = rng.choice(["100-continue", "junk"])
        case _:
            pass
    return found
