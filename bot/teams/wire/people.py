"""People in Teams' JSON: the sender of an activity and the members of a conversation, as the domain's Person.

Only the authenticated activity and the roster are read, never the data of a card. Ids and tenants are case-folded,
because Teams varies their case and they are compared.
https://learn.microsoft.com/microsoftteams/platform/bots/how-to/get-teams-context
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bot.domain.identity import Person
from bot.teams.wire.activity import Inbound

LONGEST_NAME: Final = 256  # characters; Entra's own limit for display names

_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
# Documented values of `userRole`. Without one of them, the UPN shows whether a person comes from another tenant.
_GUEST: Final = "guest"
_OUTSIDERS: Final = frozenset({_GUEST, "anonymous"})
_FULL_MEMBER: Final = "user"
_FROM_ELSEWHERE: Final = "#ext#"


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamMember:
    """A member of a conversation as the Connector returns it. Missing fields are None."""

    id: str
    """Id of the person for this bot only: `29:…`."""
    object_id: str | None
    """Microsoft Entra object id. Missing for bots."""
    name: str | None
    user_principal_name: str | None
    email: str | None
    tenant_id: str | None
    """Documented as a GUID for single members. In pages, the documented sample has `29:…` for ordinary users."""
    role: str | None
    """`user`, `guest` or `anonymous`."""

    @property
    def tenant(self) -> str:
        """The case-folded tenant id; empty if Teams does not say which tenant."""
        return self.tenant_id.casefold() if self.tenant_id and _GUID.fullmatch(self.tenant_id) else ""

    @property
    def is_outsider(self) -> bool:
        """True for guests and anonymous people. Without a known role, the UPN of a guest shows it."""
        is_full = (self.role or "").casefold() == _FULL_MEMBER
        return _is_outsider(self.role) or (
            not is_full and _FROM_ELSEWHERE in (self.user_principal_name or "").casefold()
        )

    @property
    def known_tenant(self) -> str:
        """The tenant; empty also if neither role nor UPN show whether the person is a guest there."""
        return self.tenant if self.role or self.user_principal_name else ""

    def completed_from(self, page: "TeamMember | None") -> "TeamMember":
        """Return this member with what only the roster's page says.

        If the tenants differ, the tenant is unknown. A guest on the page stays a guest.
        """
        if page is None:
            return self
        tenants = {page.tenant, self.tenant} - {""}
        return replace(
            self,
            name=self.name or page.name,
            user_principal_name=self.user_principal_name or page.user_principal_name,
            email=self.email or page.email,
            tenant_id=next(iter(tenants)) if len(tenants) == 1 else None,
            role=_GUEST if page.is_outsider else self.role or page.role,
        )


@dataclass(frozen=True, slots=True)
class MembersPage:
    """One page of a roster, and the continuation token of the next page; None on the last."""

    members: tuple[TeamMember, ...]
    continuation: str | None


def read_page(body: Mapping[str, Any]) -> MembersPage:
    """Parse a response of `pagedmembers`; skip invalid entries."""
    entries = body.get("members")
    found = (read_member(entry) for entry in entries) if isinstance(entries, list) else ()
    return MembersPage(
        members=tuple(member for member in found if member is not None),
        continuation=_text(body, "continuationToken"),
    )


def read_member(entry: object) -> TeamMember | None:
    """Parse one member; None for anything that is not an object with an id."""
    if not isinstance(entry, dict) or (member_id := _text(entry, "id")) is None:
        return None
    return TeamMember(
        id=member_id,
        object_id=_text(entry, "aadObjectId") or _text(entry, "objectId"),  # `objectId` in lists without pages
        name=_text(entry, "name"),
        user_principal_name=_text(entry, "userPrincipalName"),
        email=_text(entry, "email"),
        tenant_id=_text(entry, "tenantId"),
        role=_text(entry, "userRole"),
    )


def as_person(member: TeamMember, *, tenant_id: str) -> Person | None:
    """Return a member as a person; None for bots. A member who is not certainly in this tenant counts as a guest.

    `Person.tenant_id` is empty if Teams does not say which tenant.
    """
    if member.object_id is None:
        return None
    return Person(
        object_id=member.object_id.casefold(),
        tenant_id=member.known_tenant,
        name=(member.name or "")[:LONGEST_NAME],
        upn=member.user_principal_name,
        mail=member.email,
        teams_id=member.id,
        guest=member.known_tenant != tenant_id.casefold() or member.is_outsider,
    )


def sender(inbound: Inbound) -> Person | None:
    """Return the sender of an activity; None without an Entra object id (bots, anonymous participants of a meeting).

    UPN and mail are empty: activities do not contain them, the roster does.
    """
    account = inbound.wire.sender
    if not account.aad_object_id:
        return None
    return Person(
        object_id=account.aad_object_id.casefold(),
        tenant_id=_sender_tenant(inbound).casefold(),
        name=(account.name or "")[:LONGEST_NAME],
        teams_id=account.id,
        guest=_is_outsider(account.user_role) or _is_outsider(account.role),
    )


def _sender_tenant(inbound: Inbound) -> str:
    # Not verified: that `from.tenantId` shows a sender of another tenant in a shared channel. Without it, this is the
    # tenant of the conversation. For decisions, the roster then shows the person as a guest. A cancellation relies on
    # the object id.
    return inbound.wire.sender.tenant_id or next(iter(inbound.tenants), "")


def _is_outsider(role: str | None) -> bool:
    return (role or "").strip().casefold() in _OUTSIDERS


def _text(entry: Mapping[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) and value else None
