"""Parses Microsoft Graph's answers about the members of a group. Does no I/O.

https://learn.microsoft.com/graph/api/group-list-transitivemembers
https://learn.microsoft.com/graph/errors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bot.ports.teams import GroupProblem
from bot.teams.wire.errors import TRANSIENT

USER: Final = "#microsoft.graph.user"  # other members are groups, devices, service principals and contacts
CONSENT_MISSING: Final = "Authorization_RequestDenied"
"""Graph's code for a token without the permission. Entra issues such a token before an administrator has consented."""
_OBJECT_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class GroupPage:
    """The object ids of the people on one page, in lower case, and the address of the next page; None on the last."""

    people: frozenset[str]
    next_link: str | None


def read_group_page(body: Mapping[str, Any]) -> GroupPage:
    """Return the people on a page. An entry that is no person, or has no object id, is left out.

    Raises ValueError for a body of another form: part of the members would count as all of them.
    """
    entries, link = body.get("value"), body.get("@odata.nextLink")
    if not isinstance(entries, list) or not isinstance(link, str | None):
        raise ValueError("not a page of members")  # noqa: TRY004 - one error type for every malformed body
    return GroupPage(frozenset(filter(None, map(_person, entries))), link)


def _person(entry: object) -> str | None:
    match entry:
        case {"@odata.type": str(kind), "id": str(identity)} if kind == USER and _OBJECT_ID.fullmatch(identity):
            return identity.lower()
    return None


def group_problem(status: int, code: str) -> GroupProblem:
    """Return the problem for a status other than 200, and Graph's code in the body; the code may be empty."""
    if status == 403 and code == CONSENT_MISSING:
        return GroupProblem.CONSENT_MISSING
    if status == 404:
        return GroupProblem.NOT_FOUND
    if status == 429 or status in TRANSIENT or status > 504:
        return GroupProblem.UNAVAILABLE
    return GroupProblem.REFUSED
