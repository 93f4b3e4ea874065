"""Reads node-access.toml: channels, approvers, people and accounts as the domain's types.

Owns the rules that concern several tables. Does not know the environment. Called by settings.py and reload.py.
"""

import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bot.boto.regions import region_names
from bot.config.errors import ConfigurationProblems, Location, explain, shown
from bot.config.file_source import content_of
from bot.config.schema import ACCOUNT_ROLES, TABLES, File
from bot.config.types import channel_id
from bot.domain.configuration import Configuration, PrivateReplies
from bot.domain.identity import IdentityRules, Principal, PrincipalKind
from bot.ports.configuration import SourceUnreadable
from bot.text.escape import unwrapped

_IAM_USER = r"arn:aws[a-z-]*:iam::[0-9]{12}:user/.+"
_ROLE_OF = r"arn:aws[a-z-]*:iam::([0-9]{12}):role/"
_PRINCIPALS = (
    "write the ARN of a session (arn:aws:sts::<account>:assumed-role/<role>/<session>) or of an IAM user, or the id of"
    " an Identity Center user"
)


def load_configuration(path: Path) -> Configuration:
    """Read the file. Raises ConfigurationProblems with all its problems."""
    try:
        content = content_of(path)
    except SourceUnreadable as unreadable:
        raise ConfigurationProblems([unreadable.advice]) from None
    return parse_configuration(content, name=shown(path.name))


def parse_configuration(content: bytes, *, name: str = "node-access.toml") -> Configuration:
    """Parse the contents of the file. Raises ConfigurationProblems; each line starts with `name`."""
    raw = _tables(content, name)
    problems = [f"{name}: {each}" for each in _across(raw)]
    try:
        file = File.model_validate(raw)
    except ValidationError as error:
        found = _explained(error, raw, name)
        raise ConfigurationProblems([*found, *problems]) from None
    if problems:
        raise ConfigurationProblems(problems)
    return _configuration(file)


def _explained(error: ValidationError, raw: dict[str, Any], name: str) -> list[str]:
    def place(location: Location) -> str:
        return f"{name}: {_place(location, raw)}"

    return explain(error, place=place, known=_known, missing=lambda _: "missing; write it")


def _tables(content: bytes, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(unwrapped(content.decode("utf-8-sig")))  # parts may be copied from a card
    except UnicodeDecodeError:
        raise ConfigurationProblems([f"{name}: is not UTF-8; save it as UTF-8"]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationProblems([f"{name}: is not TOML: {error}"]) from None
    except (RecursionError, ValueError):  # deeply nested brackets, very long numbers
        raise ConfigurationProblems([f"{name}: is not valid TOML"]) from None


def _configuration(file: File) -> Configuration:
    alone = len(file.channels) == 1
    return Configuration(
        channels=tuple(each.to_domain(alone=alone) for each in file.channels),
        identity=file.identity.to_domain(file.people),
        private_replies=PrivateReplies(file.teams.private_replies),
        accounts=tuple(each.to_domain() for each in file.accounts),
        region_names=region_names(),
    )


# --- rules across tables, on the raw tables, so that they are reported together with the problems inside a table ---


def _across(raw: dict[str, Any]) -> Iterator[str]:
    channels = _dicts(raw.get("channels"))
    yield from _doubles("channels: name", [each.get("name") for each in channels])
    yield from _doubles("channels: conversation", [_channel_id(each) for each in channels])
    for number, channel in enumerate(channels, start=1):
        steps = [level.get("step") for level in _dicts(channel.get("levels"))]
        yield from _doubles(f"{_numbered(number, channel)}: levels: step", steps)
    yield from _fallback(channels)
    yield from _escalations(channels)
    yield from _people(raw)
    yield from _accounts(_dicts(raw.get("accounts")))


def _doubles(what: str, values: list[object]) -> Iterator[str]:
    texts = [each for each in values if isinstance(each, str)]
    for text, times in Counter(texts).items():
        if times > 1:
            yield f"{what}: {shown(text)} is used {times} times; each must be unique"


def _channel_id(channel: dict[str, Any]) -> object:
    conversation = channel.get("conversation")
    return channel_id(conversation) if isinstance(conversation, str) else None


def _accounts(accounts: list[dict[str, Any]]) -> Iterator[str]:
    yield from _doubles("accounts: id", [each.get("id") for each in accounts])
    yield from _doubles("accounts: name", [each.get("name") for each in accounts])
    for number, account in enumerate(accounts, start=1):
        regions = account.get("regions")
        place = _numbered(number, account, "accounts")
        yield from _doubles(f"{place}: regions", regions if isinstance(regions, list) else [])
        for key in ACCOUNT_ROLES:
            role = re.match(_ROLE_OF, str(account.get(key)))
            if role and role[1] != account.get("id"):
                entry = shown(str(account.get("id")))
                says = f"a role of account {role[1]}, but the entry is for {entry}; write a role there"
                yield f"{place}: {key}: {says}"
    if sum("reader_role" not in each for each in accounts) > 1:
        yield "accounts: only the bot's own account can omit reader_role; write it for the others"


def _fallback(channels: list[dict[str, Any]]) -> Iterator[str]:
    count = sum(each.get("fallback") is True for each in channels)
    if not channels:
        yield "channels: missing; write a [[channels]] table for the Teams channel that gets the cards"
    elif count > 1:
        yield f"channels: {count} have fallback = true; exactly one must"
    elif count == 0 and (len(channels) > 1 or "match" in channels[0]):
        yield "channels: none has fallback = true; set it for the channel that gets requests without a match"


def _escalations(channels: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the problems of escalate_after and escalate_to: each needs the other, and a channel that decides itself."""
    by_name = {each["name"]: each for each in channels if isinstance(each.get("name"), str)}
    for number, channel in enumerate(channels, start=1):
        after, to = channel.get("escalate_after"), channel.get("escalate_to")
        if after is None and to is None:
            continue
        if advice := _escalation_advice(channel, by_name):
            yield f"{_numbered(number, channel)}: {advice}"


def _escalation_advice(channel: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> str | None:
    after, to = channel.get("escalate_after"), channel.get("escalate_to")
    if to is None:
        return "escalate_after: also write escalate_to, the name of the channel that may decide then"
    if after is None:
        return 'escalate_to: also write escalate_after, like escalate_after = "2h"'
    if not isinstance(to, str) or to not in by_name:
        return f"escalate_to: no channel has the name {shown(str(to))}; write the name of another [[channels]] table"
    target = by_name[to]
    if target is channel:
        return "escalate_to: the channel itself; write the name of another channel"
    if target.get("escalate_to") is not None or target.get("escalate_after") is not None:
        return f"escalate_to: {shown(to)} escalates itself, and an escalation is never passed on; remove one of the two"
    if not target.get("approvers") and not any(each.get("approvers") for each in _dicts(target.get("levels"))):
        return f"escalate_to: {shown(to)} lists no approvers, so nobody could decide there; add approvers to it"
    return None


def _people(raw: dict[str, Any]) -> Iterator[str]:
    people, identity = raw.get("people"), raw.get("identity")
    trusted = identity.get("trusted_roles") if isinstance(identity, dict) else None
    names = trusted if isinstance(trusted, list) else []
    rules = IdentityRules(trusted_roles=frozenset(each for each in names if isinstance(each, str)))
    for text in people if isinstance(people, dict) else ():
        if advice := _principal(Principal.parse(text), rules):
            yield f"people: {shown(text)}: {advice}"


def _principal(principal: Principal, rules: IdentityRules) -> str | None:
    if principal.kind is PrincipalKind.SESSION and not rules.trusts(principal):
        return (
            "callers of this role can choose the session name; if its trust policy pins"
            " sts:RoleSessionName, add the role to trusted_roles of [identity]"
        )
    if principal.kind is PrincipalKind.OTHER and not re.fullmatch(_IAM_USER, principal.text):
        return _PRINCIPALS
    return None


def _dicts(tables: object) -> list[dict[str, Any]]:
    return [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []


# --- locations in the file ---------------------------------------------------------------------------------------


def _known(location: Location) -> list[str]:
    table = TABLES.get(tuple(each for each in location if isinstance(each, str)))
    return list(table.model_fields) if table else []


def _place(location: Location, raw: dict[str, Any]) -> str:
    """Describe a location: `channels 2 ('leads'): approvers 1`. Entries count from 1."""
    words: list[str] = []
    value: Any = raw
    for key in location:
        value = _inside(value, key)
        if isinstance(key, int) and words:
            words[-1] = _numbered(key + 1, value, words[-1])
        else:
            words.append(shown(str(key)))
    return ": ".join(words)


def _inside(value: Any, key: int | str) -> Any:
    try:
        return value[key]
    except (KeyError, IndexError, TypeError):
        return None


def _numbered(number: int, table: object, what: str = "channels") -> str:
    name = table.get("name") if isinstance(table, dict) else None
    return f"{what} {number} ({shown(name)})" if isinstance(name, str) else f"{what} {number}"
