"""Types for ids, names and addresses in the settings; each error says what to write instead.

Owns only the form of values. Does not know the environment or node-access.toml.
"""

import re
from collections.abc import Mapping
from datetime import time, timedelta
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator

from bot.boto.regions import known_regions
from bot.domain.identity import SSO_ROLE_PREFIX
from bot.domain.routing import is_channel
from bot.domain.schedule.digest_week import WEEKDAYS, WeeklyTime
from bot.domain.schedule.quiet_hours import QuietHours
from bot.rendering.i18n import LOCALES
from bot.teams.net.addresses import AddressRefused, checked, is_on_this_link

_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
REGION_FORM = "[a-z]{2}(?:-[a-z]+)+-[0-9]"
_MAIL = r"[^@\s:]+@[^@\s:]+"
# Links as Teams copies them, decoded. https://learn.microsoft.com/microsoftteams/platform/concepts/build-and-test/deep-link-teams
_TEAMS = r"(?:https://(?:[a-z.]+\.)?(?:microsoft\.com|microsoft\.us|cloud\.microsoft)|msteams:)/l"
_LINK = re.compile(rf"{_TEAMS}/(?:channel|message)/(19:[!-~]+?)/", re.IGNORECASE)
_TEAM_LINK = re.compile(rf"{_TEAMS}/team/", re.IGNORECASE)
_CHAT = re.compile(rf"@thread\.v2\b|@unq\.gbl\.spaces|^a:|{_TEAMS}/chat/", re.IGNORECASE)
_ENCODED_AT_MOST = 2  # times; mail programs encode a link again
_SPAN = re.compile(r"([0-9]{1,6})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LONGEST_SPAN = timedelta(days=30)  # the longest time-out of an approval in AWS
MOST_SPANS = 10
_CLOCK = r"((?:[01][0-9]|2[0-3]):[0-5][0-9])"
_HOURS = re.compile(rf"{_CLOCK}-{_CLOCK}")
_WEEKLY = re.compile(rf"({'|'.join(WEEKDAYS)}) {_CLOCK}")
_ROLE_NAME = r"[\w+=,.@-]{1,64}"
_ROLE = rf"arn:aws[a-z-]*:iam::(?:[0-9]{{12}}|\{{account\}}):role/(?:[!-.0-~]+/)*{_ROLE_NAME}"


def _spelled(pattern: str, advice: str, *, near: Mapping[str, str] | None = None) -> AfterValidator:
    """Require a form; invalid texts get `advice`. `near` has other advice by the form of an invalid text."""
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(next((says for form, says in (near or {}).items() if re.fullmatch(form, text)), advice))
        return text

    return AfterValidator(check)


def _visible(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("write a name with visible characters")
    return text


def channel_id(text: str) -> str:
    """Return the id in a link to a channel, or in a text that is percent-encoded. Other texts stay as they are."""
    text = text.strip()
    for _ in range(_ENCODED_AT_MOST):
        text = unquote(text)
    found = _LINK.match(text)
    return found[1] if found else text


def _conversation(text: str) -> str:
    text = channel_id(text)
    if _TEAM_LINK.match(text):
        raise ValueError("this is the link to a team; write the link to the channel")
    if _CHAT.search(text):
        raise ValueError("this is a chat, not a channel; write the link to a channel, or its id")
    if ";" in text:
        raise ValueError("leave out the part from ; on: that is one thread, not the channel")
    if not re.fullmatch(r"19:[!-~]+", text) or not is_channel(text):
        raise ValueError('write the id of the channel, "19:…@thread.tacv2"; the link to the channel has it')
    return text


def _region(text: str) -> str:
    if not re.fullmatch(REGION_FORM, text, re.ASCII):
        raise ValueError("write a Region like ap-northeast-1")
    if text not in known_regions():
        near = get_close_matches(text, sorted(known_regions()), n=1)
        raise ValueError(f"no AWS Region is known by this name; write one like {near[0] if near else 'ap-northeast-1'}")
    return text


def _assumable(role: str) -> str:
    if role.rpartition("/")[2].startswith(SSO_ROLE_PREFIX):
        raise ValueError("a role of IAM Identity Center cannot be assumed by the bot; write the ARN of another role")
    return role


def _locale(text: str) -> str:
    if text not in LOCALES:
        raise ValueError(f"write {' or '.join(map(repr, LOCALES))}")
    return text


@cache
def _timezones() -> list[str]:
    return sorted(available_timezones())


def _timezone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError) as error:  # unknown zone, invalid path, a directory of zones
        near = get_close_matches(text, _timezones(), n=1)
        raise ValueError(f"no such time zone; write one like {near[0] if near else 'Asia/Tokyo'}") from error
    return text


def _microsoft(text: str) -> str:
    try:
        checked(text)
    except AddressRefused as error:
        raise ValueError(f"{error}: write an https address (http only on loopback)") from error
    return text


def _identity(text: str) -> str:
    try:
        checked(text, plain=is_on_this_link)
    except AddressRefused as error:
        raise ValueError(f"{error}: Azure makes it, an address of this machine or its link, or https") from error
    return text


def _span(value: Any) -> timedelta:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('write a number of minutes, hours or days, like "15m", "2h" or "1d"')
    span = int(found[1]) * _UNITS[found[2]]
    if not timedelta() < span <= LONGEST_SPAN:
        raise ValueError(f"write at least 1m and at most {LONGEST_SPAN.days}d; AWS keeps no request open for longer")
    return span


def _ascending(spans: list[timedelta]) -> list[timedelta]:
    if len(spans) > MOST_SPANS:
        raise ValueError(f"write at most {MOST_SPANS} spans")
    if spans != sorted(set(spans)):
        raise ValueError('write each span once and the shortest first, like ["15m", "1h"]')
    return spans


def _quiet(value: Any) -> QuietHours:
    found = _HOURS.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('write the beginning and the end, like "22:00-07:00"')
    start, end = map(time.fromisoformat, found.groups())
    if start == end:
        raise ValueError("the beginning and the end are equal; write two times, or remove remind_after instead")
    return QuietHours(start, end)


def _weekly(value: Any) -> WeeklyTime:
    found = _WEEKLY.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'write a weekday and a time, like "mon 09:00"; weekdays are {", ".join(WEEKDAYS)}')
    return WeeklyTime(WEEKDAYS.index(found[1]), time.fromisoformat(found[2]))


Span = Annotated[timedelta, BeforeValidator(_span)]
Spans = Annotated[list[Span], AfterValidator(_ascending)]
Quiet = Annotated[QuietHours, BeforeValidator(_quiet)]
Weekly = Annotated[WeeklyTime, BeforeValidator(_weekly)]
Visible = Annotated[str, AfterValidator(_visible)]
_GUID_ADVICE = "write an id like 11111111-1111-4111-8111-111111111111"
AppId = Annotated[
    str,
    _spelled(
        _GUID,
        f"{_GUID_ADVICE}; the app registration's overview in Microsoft Entra shows it as Application (client) ID",
    ),
]
TenantId = Annotated[
    str,
    _spelled(
        _GUID,
        f"{_GUID_ADVICE}, not a domain; the tenant's overview in Microsoft Entra shows it as Tenant ID",
    ),
]
AccountId = Annotated[str, _spelled("[0-9]{12}", 'write the 12 digits of the account in quotes: "111122223333"')]
Region = Annotated[str, AfterValidator(_region)]
RoleName = Annotated[str, _spelled(_ROLE_NAME, "write the role's name alone, without ARN or path")]
RoleArn = Annotated[
    str,
    _spelled(_ROLE, "write the ARN of a role, like arn:aws:iam::{account}:role/NodeAccessApprover"),
    AfterValidator(_assumable),
]
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
ExternalId = Annotated[
    str, _spelled(r"[A-Za-z0-9_+=,.@:/\\-]{2,1224}", "write 2 to 1224 letters, digits and _+=,.@:/\\-")
]
PlainRoleArn = Annotated[RoleArn, _spelled("[^{}]*", "write the account's number here instead of {account}")]
SecretArn = Annotated[
    str,
    _spelled(
        rf"arn:aws[a-z-]*:secretsmanager:{REGION_FORM}:[0-9]{{12}}:secret:[\w/+=.@-]{{1,512}}",
        "write the ARN of a secret, like arn:aws:secretsmanager:ap-northeast-1:111122223333:secret:node-access-AbCdEf",
    ),
]
IdentityEndpoint = Annotated[str, AfterValidator(_identity)]
Domain = Annotated[
    str, _spelled(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", "write what follows the @ in the addresses, like example.com")
]
Approver = Annotated[
    str,
    _spelled(
        rf"members|user:{_GUID}|upn:{_MAIL}|group:{_GUID}",
        "write members, user:<Microsoft Entra object id>, upn:<user principal name> or group:<object id of a group>",
        near={
            _MAIL: "write upn: in front of a user principal name",
            _GUID: "write user: in front of a person's object id, or group: in front of a group's",
            "group:.*": "write the object id of the group, not its name: its overview in Microsoft Entra shows both",
        },
    ),
]
Mentioned = Annotated[
    str,
    _spelled(
        rf"user:{_GUID}",
        "write user:<Microsoft Entra object id>; nothing else can be mentioned",
        near={_GUID: "write user: in front of an object id"},
    ),
]
TeamsUser = Annotated[
    str,
    _spelled(
        rf"user:{_GUID}|(?:upn:)?{_MAIL}",
        "write user:<Microsoft Entra object id>, or a user principal name or mail address",
    ),
]
LogGroup = Annotated[
    str, _spelled(r"[\w./#-]{1,512}", "write the name of a log group of CloudWatch, like /aws/ssm/sessions")
]
LogBucket = Annotated[
    str,
    _spelled(
        r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](?:/[!-~]*)?",
        "write the name of a bucket of S3, with the prefix if there is one: bucket/prefix",
        near={"s3://.*": "leave out s3:// in front of the bucket"},
    ),
]
Conversation = Annotated[str, AfterValidator(_conversation)]
Locale = Annotated[str, AfterValidator(_locale)]
Timezone = Annotated[str, AfterValidator(_timezone)]
MicrosoftAddress = Annotated[str, AfterValidator(_microsoft)]
