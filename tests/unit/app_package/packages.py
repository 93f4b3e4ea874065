"""App packages for the tests: the details of a sample organization, and packages with one mistake."""

import json
from collections.abc import Mapping
from typing import Any, Final

from bot.app_package.archive import MANIFEST, contents, pack
from bot.app_package.manifest import AppDetails

APP_ID: Final = "11111111-1111-4111-8111-111111111111"
DETAILS: Final = AppDetails(
    app_id=APP_ID,
    registration_id=APP_ID,
    name="Node Access Bot",
    developer="Example Platform Team",
    website="https://example.com/node-access",
    privacy="https://example.com/node-access/privacy",
    terms="https://example.com/node-access/terms",
    accent="#1f4e79",
)
OPTIONS: Final = ("--app-id", APP_ID, "--developer", DETAILS.developer, "--url", DETAILS.website)


def entries(version: str = "1.0.0") -> dict[str, bytes]:
    """Return the files of a right package."""
    return contents(DETAILS, version=version)


def changed(place: str, value: Any) -> bytes:
    """Return a package whose manifest has another value at a place like "bots.0.scopes"; None removes the member."""
    files = entries()
    document = json.loads(files[MANIFEST])
    *way, last = place.split(".")
    node = document
    for step in way:
        node = node[int(step) if step.isdecimal() else step]
    if value is None:
        del node[last]
    else:
        node[int(last) if last.isdecimal() else last] = value
    return pack({**files, MANIFEST: json.dumps(document).encode()})


def with_files(other: Mapping[str, bytes | None]) -> bytes:
    """Return a package with other or further files; None removes one."""
    return pack({name: data for name, data in {**entries(), **other}.items() if data is not None})
