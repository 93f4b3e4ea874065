"""Tests for bot.teams.wire.people: a person who is not certainly a member of the tenant counts as a guest."""

from dataclasses import replace

import pytest

from bot.teams.wire.people import LONGEST_NAME, TeamMember, as_person, read_member
from tests.fakes.people import FOREIGNER, GUEST, HANAKO, TENANT_ID


def _member(entry: dict[str, str]) -> TeamMember:
    member = read_member(entry)
    assert member is not None
    return member


def test_a_roster_member_becomes_a_person_with_all_ids_and_addresses() -> None:
    """These are object id, UPN, mail and `29:` id. A requester is compared with all of them."""
    person = as_person(_member(HANAKO.as_member()), tenant_id=TENANT_ID)

    assert person is not None
    assert person.spellings == {HANAKO.object_id, HANAKO.upn, HANAKO.id}
    assert (person.name, person.mail, person.tenant_id, person.guest) == (HANAKO.name, HANAKO.email, TENANT_ID, False)


def test_roster_entry_without_an_object_id_is_not_a_person() -> None:
    """Bots have no object id, so they are left out."""
    entry = _member(HANAKO.as_member())

    assert as_person(replace(entry, object_id=None), tenant_id=TENANT_ID) is None


@pytest.mark.parametrize("tenant", [None, FOREIGNER.tenant_id])
def test_members_of_another_or_unknown_tenant_are_guests(tenant: str | None) -> None:
    """Teams may return another tenant, or no tenant."""
    person = as_person(replace(_member(HANAKO.as_member()), tenant_id=tenant), tenant_id=TENANT_ID)

    assert person is not None
    assert person.guest


@pytest.mark.parametrize("role", ["guest", "Guest", "anonymous"])
def test_members_with_a_guest_role_are_guests(role: str) -> None:
    """The role in the roster shows that a member is a guest."""
    person = as_person(replace(_member(GUEST.as_member()), role=role), tenant_id=TENANT_ID)

    assert person is not None
    assert person.guest


def test_ids_of_a_roster_member_become_lower_case_and_a_long_name_is_cut() -> None:
    """Ids become lower case so that they can be compared. Names are only shown, so they are shortened."""
    entry = replace(
        _member(HANAKO.as_member()), object_id=HANAKO.object_id.upper(), tenant_id=TENANT_ID.upper(), name="あ" * 9999
    )
    person = as_person(entry, tenant_id=TENANT_ID)

    assert person is not None
    assert (person.object_id, person.tenant_id, person.guest) == (HANAKO.object_id, TENANT_ID, False)
    assert len(person.name) == LONGEST_NAME
