"""Types for ids, names and addresses in the settings; each error says what to write instead.

Owns only the form of values. Does not know the environment or node-access.toml.
"""

import re
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator

from bot.teams.net.addresses import AddressRefused, checked, is_on_this_link

NOT_AVAILABLE = "not available yet"

_GUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_REGION = "[a-z]{2}(?:-[a-z]+)+-[0-9]"
_MAIL = r"[^@\s:]+@[^@\s:]+"
_ROLE_NAME = r"[\w+=,.@-]{1,64}"
_ROLE = rf"arn:aws[a-z-]*:iam::(?:[0-9]{{12}}|\{{account\}}):role/(?:[!-.0-~]+/)*{_ROLE_NAME}"


def _spelled(pattern: str, advice: str) -> AfterValidator:
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(advice)
        return text

    return AfterValidator(check)


def _visible(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("write a name with visible characters")
    return text


def _conversation(text: str) -> str:
    if "%" in text:
        raise ValueError("write it decoded: %3A is a colon and %40 an @")
    if ";" in text:
        raise ValueError("leave out the part from ; on: that is one thread, not the channel")
    if not re.fullmatch(r"19:[!-~]+@[!-~]+", text):
        raise ValueError('write the id of the channel, "19:…@thread.tacv2"; the link to the channel has it')
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


def _refused(value: Any) -> Any:
    if value:
        raise ValueError(NOT_AVAILABLE)
    return value


Unavailable = Annotated[
    Any, BeforeValidator(_refused)
]  # a documented key that is not built yet; only its "off" value is accepted
Visible = Annotated[str, AfterValidator(_visible)]
Guid = Annotated[str, _spelled(_GUID, "write an id like 11111111-1111-4111-8111-111111111111")]
AccountId = Annotated[str, _spelled("[0-9]{12}", 'write the 12 digits of the account in quotes: "111122223333"')]
Region = Annotated[str, _spelled(_REGION, "write a Region like ap-northeast-1")]
RoleName = Annotated[str, _spelled(_ROLE_NAME, "write the role's name alone, without ARN or path")]
RoleArn = Annotated[
    str, _spelled(_ROLE, "write the ARN of a role, like arn:aws:iam::{account}:role/NodeAccessApprover")
]
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
ExternalId = Annotated[
    str, _spelled(r"[A-Za-z0-9_+=,.@:/\\-]{2,1224}", "write 2 to 1224 letters, digits and _+=,.@:/\\-")
]
PlainRoleArn = Annotated[RoleArn, _spelled("[^{}]*", "write the account's number here instead of {account}")]
SecretArn = Annotated[
    str,
    _spelled(
        rf"arn:aws[a-z-]*:secretsmanager:{_REGION}:[0-9]{{12}}:secret:[\w/+=.@-]{{1,512}}",
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
        rf"members|user:{_GUID}|upn:{_MAIL}",
        "write members, user:<Microsoft Entra object id> or upn:<user principal name>",
    ),
]
Mentioned = Annotated[
    str, _spelled(rf"user:{_GUID}", "write user:<Microsoft Entra object id>; nothing else can be mentioned")
]
TeamsUser = Annotated[
    str,
    _spelled(
        rf"user:{_GUID}|(?:upn:)?{_MAIL}",
        "write user:<Microsoft Entra object id>, or a user principal name or mail address",
    ),
]
Conversation = Annotated[str, AfterValidator(_conversation)]
Timezone = Annotated[str, AfterValidator(_timezone)]
MicrosoftAddress = Annotated[str, AfterValidator(_microsoft)]
