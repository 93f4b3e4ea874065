"""People as Teams names them on the wire, made into the domain's Person.

Owns which fields say who somebody is. Ids and tenants come out case-folded: Teams is not strict about their case, and
they are compared. Only the signed activity and the roster are read, never what a card carries.
"""

from typing import Final

from bot.domain.identity import Person
from bot.teams.wire.activity import Inbound
from bot.teams.wire.members import TeamMember

LONGEST_NAME: Final = 256  # characters; Entra's own limit for display names

# Documented for members (`userRole`); whoever has none of these roles is a full member.
# https://learn.microsoft.com/microsoftteams/platform/bots/how-to/get-teams-context
_OUTSIDERS: Final = frozenset({"guest", "anonymous"})


def sender(inbound: Inbound) -> Person | None:
    """Return who sent an activity; None without an Entra object id (bots, anonymous people of a meeting).

    The activity carries neither UPN nor mail: those come from the roster.
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
    # Unverified: that the sender of another tenant in a shared channel is told apart by `from.tenantId`. Where it is
    # absent the conversation's tenant stands in, and the roster, which is asked before anybody decides, has the truth.
    return inbound.wire.sender.tenant_id or next(iter(inbound.tenants), "")


def as_person(member: TeamMember, *, tenant_id: str) -> Person | None:
    """Return a roster's entry as a person; None for bots. Whoever is not certainly of our tenant counts as a guest."""
    if member.object_id is None:
        return None
    foreign = (member.tenant_id or "").casefold() != tenant_id.casefold()
    return Person(
        object_id=member.object_id.casefold(),
        tenant_id=(member.tenant_id or "").casefold(),
        name=(member.name or "")[:LONGEST_NAME],
        upn=member.user_principal_name,
        mail=member.email,
        teams_id=member.id,
        guest=foreign or _is_outsider(member.role),
    )


def _is_outsider(role: str | None) -> bool:
    return (role or "").casefold() in _OUTSIDERS
