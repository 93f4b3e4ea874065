"""Whom a reason names: `@alice@example.com` or `@Display Name`, where that is exactly one member of the channel.

A mention rings somebody's phone and gives no right to decide. It knows text and roster; not how a mention is shown.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from bot.domain.identity import Person, Requester

MOST: Final = 5  # people that one reason may ring
_READ: Final = 512  # characters of it that are looked at; AWS takes 256
# Nobody rings a whole channel or team by a reason, not even if somebody is named so.
_EVERYBODY: Final = (
    *("channel", "team", "everyone", "everybody", "all", "here", "general"),
    *("チャネル", "チャンネル", "チーム", "全員", "みんな", "みなさん", "皆さん", "皆様", "一般"),
)
# What follows a name without a blank and is no part of it.
_TITLES: Final = (
    *("さん", "さま", "くん", "ちゃん", "様", "氏", "殿", "君", "先生", "先輩"),
    *("社長", "部長", "室長", "課長", "係長", "主任"),
)
_TIES: Final = frozenset(".-‐‑'’@+_&")  # tie what follows to the word before them: Anne-Marie, O'Neil, example.com.au
_Names = Mapping[str, Person | None]  # None: several people, or everybody


def names_anybody(text: str) -> bool:
    """True where it is worth reading a roster."""
    return next(_marks(_folded(text[:_READ])), None) is not None


def mentioned(
    text: str, members: Iterable[Person], *, requester: Requester, never: Sequence[str] = ()
) -> tuple[Person, ...]:
    """Return the members whom a text names, in its order, at most MOST; `never`: names that stand for everybody.

    Whole names in any case, the longest first. Nobody for a name that several have, guests included; never a guest, a
    person of another tenant or the requester.
    """
    names, spoken = _index(members, never), _folded(text[:_READ])
    longest = max(map(len, names), default=0)
    found = dict.fromkeys(_named(spoken, at + 1, names, longest) for at in _marks(spoken))
    return tuple(each for each in found if each and not each.guest and not requester.is_person(each))[:MOST]


def _index(members: Iterable[Person], never: Sequence[str]) -> _Names:
    names: dict[str, Person | None] = {}
    for person in members:
        for key in {_key(name) for name in (person.name, person.upn, person.mail) if name}:
            other = names.setdefault(key, person)
            if other is None or other.object_id.casefold() != person.object_id.casefold():
                names[key] = None
    names.update(dict.fromkeys(map(_key, (*_EVERYBODY, *never))))
    names.pop("", None)
    return names


def _marks(text: str) -> Iterator[int]:
    """Where an @ begins a name: not within an address. After Japanese, which has no blanks, it does."""
    for at, character in enumerate(text):
        if character == "@" and (at == 0 or _script(text[at - 1]) or not _is_word(text[at - 1])):
            yield at


def _named(text: str, start: int, names: _Names, longest: int) -> Person | None:
    found, spelt = None, ""
    for at in range(start, len(text)):
        if text[at] == " " and at > start:
            continue
        if text[at].isspace():
            break
        spelt = _with(spelt, text[at], apart=text[at - 1] == " ")
        if len(spelt) > longest:
            break
        if spelt in names and not _goes_on(text, at + 1):
            found = names[spelt]
    return found


def _goes_on(text: str, at: int) -> bool:
    """True where the name before `at` is only the beginning of a longer one."""
    last, rest = text[at - 1], text[at : at + 3]
    if not rest or not _is_word(last):
        return False
    if unicodedata.category(rest[0]).startswith("M"):
        return True
    if script := _script(rest[0]):
        return script == _script(last) and not rest.startswith(_TITLES)
    if _is_word(rest[0]):
        return True
    return rest[0] in _TIES and _is_word(rest[1:2]) and not _is_possessive(rest)


def _is_possessive(rest: str) -> bool:
    return rest[0] in "'’" and rest[1] == "s" and not _is_word(rest[2:3])


def _key(name: str) -> str:
    folded = " ".join(_folded(name).split())
    if folded.isascii():
        return folded
    spelt, apart = "", False
    for character in folded:
        if character != " ":
            spelt = _with(spelt, character, apart=apart)
        apart = character == " "
    return spelt


def _with(spelt: str, character: str, *, apart: bool) -> str:
    """Add a character; a blank between two Japanese ones makes no difference."""
    tied = not apart or not spelt or (_script(spelt[-1]) and _script(character))
    return f"{spelt}{character}" if tied else f"{spelt} {character}"


def _folded(text: str) -> str:
    """Make equal what reads the same: case, full-width forms (＠ too), kinds of blanks, what is not seen."""
    if text.isascii():  # most names and all addresses of a large roster
        return text.casefold().replace("\t", " ")
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(
        " " if character.isspace() and character not in "\r\n" else character
        for character in folded
        if unicodedata.category(character) != "Cf" and not _is_selector(character)
    )


def _is_selector(character: str) -> bool:
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _script(character: str) -> str | None:
    """Return which of the scripts of Japanese a character is of."""
    if "\u3041" <= character <= "\u309f":
        return "hiragana"
    if "\u30a1" <= character <= "\u30ff":
        return "katakana"
    han = "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff" or character in "々〆〇"
    return "han" if han else None
