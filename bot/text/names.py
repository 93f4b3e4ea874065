"""Compares names, addresses and ids of people. The domain and the services compare them only with this module.

A name can be written in several ways: in capitals, in full width, with accents as separate characters, with characters
that readers cannot see. And two people may have names that differ in nothing else. So there are two rules:

- Where an equal name refuses something, compare `fold`: names are equal if they could be the same.
- Where an equal name grants something, compare `exact`: names are equal only if they are certainly the same.

Names that are equal by `exact` are equal by `fold`. Texts and commands are compared by `caseless`.
"""

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import regex

_IGNORED: Final = regex.compile(r"[\p{Default_Ignorable_Code_Point}\p{Cf}]")
_TURKISH_I: Final = regex.compile("[i\u0131]\u0307*")  # systems that change case by Turkish rules store ı and i̇ for i
_FULL_STOP: Final = "\u3002"  # separates the parts of a domain like a dot
_ASCII_LABEL: Final = "xn--"  # begins a part of a domain whose letters are encoded in ASCII
_LONGEST_LABEL: Final = 63
NAMES_KEPT: Final = 2048  # folded names; each row of a list is compared with the same people
LONGEST_KEPT: Final = 320  # characters, as many as an address may have; people can type any number of longer texts
_FULL_WIDTH: Final = {each: each - 0xFEE0 for each in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def fold(name: str) -> str:
    """Return a name for comparisons that ignore how it is written. Use it only to refuse.

    It ignores what `caseless` ignores, and also: the dots of the Turkish i, a dot at the end, whether a dot is
    written as the ideographic full stop, and whether a domain is encoded in ASCII.
    """
    return _fold_once(name) if len(name) <= LONGEST_KEPT else _fold(name)


def _fold(name: str) -> str:
    local, at, domain = _one_form(name).rpartition("@")
    if at and _ASCII_LABEL in domain:
        domain = ".".join(map(_readable, domain.split(".")))
    return f"{local}{at}{domain}"


_fold_once: Final = lru_cache(NAMES_KEPT)(_fold)


def caseless(text: str) -> str:
    """Return a text for comparisons that ignore case, compatibility forms (full width, ligatures) and stored accents.

    Invisible characters and spaces at the ends are ignored, too. Based on Unicode's compatibility caseless matching
    (D146): https://www.unicode.org/versions/latest/core-spec/chapter-3/
    """
    if text.isascii():  # short cut for nearly all names
        return text.strip().casefold()
    folded = unicodedata.normalize("NFD", text)
    for _ in range(2):  # the first round can make characters that the second one changes
        folded = unicodedata.normalize("NFKC", _IGNORED.sub("", folded).casefold())
    return folded.strip()


def _one_form(name: str) -> str:
    if not name.isascii():
        name = caseless(_TURKISH_I.sub("i", caseless(name)).replace(_FULL_STOP, "."))
    return _trimmed(name.casefold())


def _trimmed(name: str) -> str:
    """Return a name without space around it and without dots at its end."""
    while (shorter := name.strip().rstrip(".")) != name:
        name = shorter
    return name


def _readable(label: str) -> str:
    """Return a part of a domain in its own letters, folded: `bücher` for `xn--bcher-kva`."""
    if not label.startswith(_ASCII_LABEL) or len(label) > _LONGEST_LABEL:
        return label
    try:
        readable = _one_form(label.removeprefix(_ASCII_LABEL).encode("ascii").decode("punycode"))
    except UnicodeError:
        return label
    return label if _ASCII_LABEL in readable or not set("@.").isdisjoint(readable) else readable


def folded(names: Iterable[str]) -> frozenset[str]:
    """Return the folded names, without empty ones."""
    return frozenset(filter(None, map(fold, names)))


def exact(name: str) -> str:
    """Return a name for comparisons that ignore only case, space at the ends and how accents are stored.

    It may be used to grant.

    A name with full-width letters, ligatures or other look-alikes of plain letters equals only itself.
    """
    name = name.strip()
    if name.isascii():
        return name.lower()
    plain = any(unicodedata.is_normalized(form, name) for form in ("NFKC", "NFKD"))
    return unicodedata.normalize("NFKC", name).lower() if plain else name


def as_typed(entry: str) -> str:
    """Return an entry of the configuration in plain letters: an input method may have typed it in full width."""
    return entry.translate(_FULL_WIDTH)
