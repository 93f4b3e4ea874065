"""Compares names, addresses and ids of people. No other module does.

A name can be written in several ways: in capitals, in full width, with accents as separate characters, with characters
that readers cannot see. And two people may have names that differ in nothing else. So there are two rules:

- Where an equal name refuses something, compare `fold`: names are equal if they could be the same.
- Where an equal name grants something, compare `exact`: names are equal only if they are certainly the same.

Names that are equal by `exact` are equal by `fold`. Names of commands grant nothing: they are compared by `fold`.
"""

import unicodedata
from collections.abc import Iterable
from typing import Final

import regex

_IGNORED: Final = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]")


def fold(name: str) -> str:
    """Return a name for comparisons that ignore case, width, invisible characters and how accents are stored.

    Of people's names, use it only to refuse. This is Unicode's compatibility caseless matching:
    https://www.unicode.org/versions/latest/core-spec/chapter-3/
    """
    if name.isascii():  # short cut for nearly all names
        return name.strip().casefold()
    folded = unicodedata.normalize("NFD", name)
    for _ in range(2):  # the first round can make characters that the second one changes
        folded = unicodedata.normalize("NFKC", _IGNORED.sub("", folded).casefold())
    return folded.strip()


def folded(names: Iterable[str]) -> frozenset[str]:
    """Return the folded names, without empty ones."""
    return frozenset(filter(None, map(fold, names)))


def exact(name: str) -> str:
    """Return a name for comparisons that ignore only case and how accents are stored. It may be used to grant.

    A name with full-width letters, ligatures or other look-alikes of plain letters equals only itself.
    """
    name = name.strip()
    if name.isascii():
        return name.lower()
    plain = any(unicodedata.is_normalized(form, name) for form in ("NFKC", "NFKD"))
    return unicodedata.normalize("NFKC", name).lower() if plain else name


def as_typed(entry: str) -> str:
    """Return an entry of the configuration in plain letters: its author may have typed it in full width."""
    return unicodedata.normalize("NFKC", entry)
