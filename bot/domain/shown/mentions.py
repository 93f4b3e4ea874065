"""Finds the people that a reason mentions: `@alice@example.com` or `@Display Name` of exactly one channel member.

A mention notifies a person and gives no right to decide. Must not know how a mention is shown.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from bot.domain.identity import Person, Requester
from bot.domain.members import Members
from bot.text.mention_keys import is_word, japanese_script, line_form, mention_key, with_character

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


def may_mention(text: str) -> bool:
    """True if the text may mention a person, so that the roster must be read."""
    return next(_marks(line_form(text[:_READ])), None) is not None


def mentioned(text: str, members: Members, *, requester: Requester, never: Sequence[str] = ()) -> tuple[Person, ...]:
    """Return the members that a text mentions, in the order of the text, at most MOST.

    Only whole names count; letter case is ignored, and the longest match wins. A name that several members have, guests
    included, mentions no one. Guests and the requester are never mentioned, and the names in `never` mention no one.
    """
    line, no_one = line_form(text[:_READ]), frozenset(map(mention_key, (*_EVERYBODY, *never)))
    found = dict.fromkeys(_named(line, at + 1, members, no_one) for at in _marks(line))
    return tuple(each for each in found if each and not each.guest and not requester.is_person(each))[:MOST]


def _marks(text: str) -> Iterator[int]:
    """Yield the position of each @ that may begin a name: at the start of a word, or after Japanese text."""
    for at, character in enumerate(text):
        if character == "@" and (at == 0 or japanese_script(text[at - 1]) or not is_word(text[at - 1])):
            yield at


def _named(text: str, start: int, members: Members, no_one: frozenset[str]) -> Person | None:
    """Return the member whose name begins at `start`; None also for the names in `no_one`."""
    found, key, longest = None, "", max(members.longest_key, *map(len, no_one))
    for at in range(start, len(text)):
        if text[at] == " " and at > start:
            continue
        if text[at].isspace():
            break
        key = with_character(key, text[at], apart=text[at - 1] == " ")
        if len(key) > longest:
            break
        called = members.called(key)
        if (called or key in no_one) and not _is_beginning_of_longer_name(text, at + 1):
            found = called[0] if len(called) == 1 and key not in no_one else None
    return found


def _is_beginning_of_longer_name(text: str, at: int) -> bool:
    """True if the name before `at` is only the beginning of a longer name."""
    last, rest = text[at - 1], text[at : at + 3]
    if not rest or not is_word(last):
        return False
    if unicodedata.category(rest[0]).startswith("M"):
        return True
    if script := japanese_script(rest[0]):
        return script == japanese_script(last) and not rest.startswith(_TITLES)
    if is_word(rest[0]):
        return True
    return rest[0] in _TIES and is_word(rest[1:2]) and not _is_possessive(rest)


def _is_possessive(rest: str) -> bool:
    return rest[0] in "'’" and rest[1] == "s" and not is_word(rest[2:3])
