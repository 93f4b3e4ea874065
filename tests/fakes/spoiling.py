"""Damages documents at random places: replaces and removes members, also in JSON within texts.

Seeded and simple, so that tens of thousands of documents take seconds.
"""

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

JUNK: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**400,
    1.5,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "\ud800",
    "\x00",
    "Approved",
    "PT1S",
    "９９",
    "9" * 5000,
    "[" * 3000,
    '{"a": 1}',
    "2026-99-99T00:00:00Z",
    "arn:aws:iam::111122223333:role/",
    "あ" * 50,
    [],
    [[]],
    [None],
    {},
    {"": None},
    {"id": 5},
)


def spoilt(rng: random.Random, sample: Any) -> Any:
    """Return the sample with up to four changed places, or rarely a completely different value."""
    if rng.random() < 0.02:
        return copy.deepcopy(rng.choice(JUNK))
    document = copy.deepcopy(sample)
    for _ in range(rng.randint(0, 4)):
        _spoil(rng, document)
    return document


def _spoil(rng: random.Random, document: Any) -> None:
    while isinstance(document, dict | list) and document:
        key = rng.choice(list(document)) if isinstance(document, dict) else rng.randrange(len(document))
        if not isinstance(document[key], dict | list) or not document[key] or rng.random() < 0.25:
            break
        document = document[key]
    else:
        return
    if rng.random() < 0.2:
        del document[key]
    else:
        document[key] = _other(rng, document[key])


def _other(rng: random.Random, value: Any) -> Any:
    """Return a replacement for the value: its JSON with changes, its text with changes, or junk."""
    inner = _inner(value)
    if inner is not None and rng.random() < 0.7:
        return json.dumps(spoilt(rng, inner))
    if isinstance(value, str) and value and rng.random() < 0.3:
        return scrambled(rng, value)
    return copy.deepcopy(rng.choice(JUNK))


def _inner(value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str) else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict | list) else None


def scrambled(rng: random.Random, text: str) -> str:
    """Return the text cut off, or with characters inserted, or with a part repeated or removed."""
    at, to = sorted(rng.randrange(len(text) + 1) for _ in range(2))
    match rng.randrange(4):
        case 0:
            return text[:at]
        case 1:
            return text[:at] + "".join(chr(rng.randrange(0x11000)) for _ in range(3)) + text[at:]
        case 2:
            return text[:to] + text[at:]
        case _:
            return text[:at] + text[to:]


def spoilt_lines(rng: random.Random, text: str, *, values: Sequence[str]) -> str:
    """Return the text of a TOML file with up to four changed lines.

    A line is emptied, repeated or scrambled, gets another value, or becomes the header of a table.
    """
    lines = text.splitlines()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        name, equals, _ = lines[at].partition("=")
        match rng.randrange(6):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, lines[rng.randrange(len(lines))])
            case 2:
                lines[at] = scrambled(rng, lines[at])
            case _ if equals:
                lines[at] = f"{name}= {rng.choice(values)}"
            case _:
                lines[at] = f"[{rng.choice(values)}]"
    return "\n".join(lines)
