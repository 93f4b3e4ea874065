"""Activities and headers with random changes, as a stranger, a broken client or a newer Teams could send them."""

import json
import random
from collections.abc import Iterator
from typing import Any

from tests.fakes.spoiling import spoilt

Json = dict[str, Any]
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
    """Yield bodies without end: the good activity with random changes, and about one in ten with damaged bytes."""
    while True:
        raw = json.dumps(spoilt(rng, good)).encode()
        yield raw if rng.random() < 0.9 else _scramble(rng, raw)


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
    """Return headers that are valid in at least two of three calls, so that the code after the token check runs too."""
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
