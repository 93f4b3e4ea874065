"""Finds the people that a reason mentions: `@alice@example.com` or `@Display Name` of exactly one channel member.

A mention notifies a person and gives no right to decide. Must not know how a mention is shown.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from bot.domain.identity import Person, Requester
from bot.text.names import caseless

MOST: Final = 5  # people that one reason may notify
_READ: Final = 512  # characters of the reason that are searched; AWS accepts 256
# A reason never notifies a whole channel or team, nor a person with such a name.
_EVERYBODY: Final = (
    *("channel", "team", "everyone", "everybody", "all", "here", "general"),
    *("チャネル", "チャンネル", "チーム", "全員", "みんな", "みなさん", "皆さん", "皆様", "一般"),
)
# Japanese titles, which follow a name without a blank.
_TITLES: Final = (
    *("さん", "さま", "くん", "ちゃん", "様", "氏", "殿", "君", "先生", "先輩"),
    *("社長", "部長", "室長", "課長", "係長", "主任"),
)
_TIES: Final = frozenset(".-‐‑'’@+_&")  # join two parts of one name: Anne-Marie, O'Neil, example.com.au
_Names = Mapping[str, Person | None]  # None: the name of several people, or of a group


def may_mention(text: str) -> bool:
    """True if the text may mention a person, so that the roster must be read."""
    return next(_marks(_folded(text[:_READ])), None) is not None


def mentioned(
    text: str, members: Iterable[Person], *, requester: Requester, never: Sequence[str] = ()
) -> tuple[Person, ...]:
    """Return the members that a text mentions, in the order of the text, at most MOST.

    Only whole names count; letter case is ignored, and the longest match wins. A name that several members have, guests
    included, mentions no one. Guests and the requester are never mentioned, and the names in `never` mention no one.
    """
    names, folded = _index(members, never), _folded(text[:_READ])
    longest = max(map(len, names), default=0)
    found = dict.fromkeys(_named(folded, at + 1, names, longest) for at in _marks(folded))
    return tuple(each for each in found if each and not each.guest and not requester.is_person(each))[:MOST]


def _index(members: Iterable[Person], never: Sequence[str]) -> _Names:
    names: dict[str, Person | None] = {}
    for person in members:
        for key in {_key(name) for name in (person.name, person.upn, person.mail) if name}:
            other = names.setdefault(key, person)
            if other is None or other.user != person.user:
                names[key] = None
    names.update(dict.fromkeys(map(_key, (*_EVERYBODY, *never))))
    names.pop("", None)
    return names


def _marks(text: str) -> Iterator[int]:
    """Yield the position of each @ that may begin a name: at the start of a word, or after Japanese text."""
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
        if spelt in names and not _is_beginning_of_longer_name(text, at + 1):
            found = names[spelt]
    return found


def _is_beginning_of_longer_name(text: str, at: int) -> bool:
    """True if the name before `at` is only the beginning of a longer name."""
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
    """Add a character, with the blank before it if `apart`. Blanks between Japanese characters are dropped."""
    tied = not apart or not spelt or (_script(spelt[-1]) and _script(character))
    return f"{spelt}{character}" if tied else f"{spelt} {character}"


def _folded(text: str) -> str:
    """Return the text without differences of case and full width (＠ too) and without invisible characters.

    Blanks within a line become spaces.
    """
    if text.isascii():  # short cut for most names and all addresses of a large roster
        return caseless(text).replace("\t", " ")
    return "".join(
        " " if character.isspace() and character not in "\r\n" else character for character in caseless(text)
    )


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _script(character: str) -> str | None:
    """Return the Japanese script of a character; None for any other script."""
    if "\u3041" <= character <= "\u309f":
        return "hiragana"
    if "\u30a1" <= character <= "\u30ff":
        return "katakana"
    han = "\u3400" <= character <= "\u9fff" or "\U00020000" <= character <= "\U0003ffff" or character in "々〆〇"
    return "han" if han else None
