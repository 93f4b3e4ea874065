"""Members of a conversation as the Connector lists them, parsed at the edge.

Owns the wire names of a member. Does no I/O and decides nothing about anybody.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/get-teams-context
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMember:
    """One member as Teams describes them; what it leaves out is None."""

    id: str
    """The id that only this bot knows the person by: `29:…`."""
    object_id: str | None
    """Microsoft Entra object id. Absent for bots."""
    name: str | None
    user_principal_name: str | None
    email: str | None
    tenant_id: str | None
    role: str | None
    """`user`, or `guest` for guests, as far as Teams says so."""


@dataclass(frozen=True, slots=True)
class MembersPage:
    """One page of a roster; `continuation` asks for the next, None ends it."""

    members: tuple[TeamMember, ...]
    continuation: str | None


def read_page(body: Mapping[str, Any]) -> MembersPage:
    """Read an answer of `pagedmembers`; entries that are no members are left out."""
    entries = body.get("members")
    found = (read_member(entry) for entry in entries) if isinstance(entries, list) else ()
    return MembersPage(
        members=tuple(member for member in found if member is not None),
        continuation=_text(body, "continuationToken"),
    )


def read_member(entry: object) -> TeamMember | None:
    """Read one member, or None if the entry has no id."""
    if not isinstance(entry, dict) or (member_id := _text(entry, "id")) is None:
        return None
    return TeamMember(
        id=member_id,
        object_id=_text(entry, "aadObjectId") or _text(entry, "objectId"),  # the unpaged list says objectId
        name=_text(entry, "name"),
        user_principal_name=_text(entry, "userPrincipalName"),
        email=_text(entry, "email"),
        tenant_id=_text(entry, "tenantId"),
        role=_text(entry, "userRole"),
    )


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None
