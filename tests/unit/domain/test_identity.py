"""Tests for bot.domain.identity: people, principals, and when a requester is identified as a certain person."""

from dataclasses import replace

import pytest

from bot.domain.identity import (
    Directory,
    IdentityRules,
    Person,
    Principal,
    PrincipalKind,
    Requester,
    identify_requester,
    needs_record,
    requester_names,
    spellings_of,
)
from tests.fakes.chat import HANAKO, TARO_PERSON, person

ACCOUNT = "arn:aws:sts::111122223333"
SSO = f"{ACCOUNT}:assumed-role/AWSReservedSSO_operator_434098e0f9f1965d/taro.yamada@example.com"
OPERATOR = f"{ACCOUNT}:assumed-role/Operator/taro.yamada@example.com"
BATCH = f"{ACCOUNT}:assumed-role/Operator/batch"
FEDERATED = f"{ACCOUNT}:federated-user/taro.yamada@example.com"
IAM_USER = "arn:aws:iam::111122223333:user/team/batch"
USER_ID = "906713ab12-e1fbc510-8081-70c2-448f-123456789012"
RULES = IdentityRules(trusted_roles=frozenset({"Operator"}))
ALLOWING = replace(  # addresses that match no Teams user identify requesters
    RULES, allow_unmatched=True, people_domains=frozenset({"example.com", "corp.example.net"})
)
EVERYBODY = Directory((HANAKO, TARO_PERSON))


def identified(text: str, rules: IdentityRules = RULES, directory: Directory = EVERYBODY) -> Requester:
    """Identify a requester, by default with RULES and EVERYBODY."""
    return identify_requester(text, rules, directory)


# --- principals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (OPERATOR, Principal(OPERATOR, PrincipalKind.SESSION, "Operator", "taro.yamada@example.com")),
        (
            "arn:aws-cn:sts::111122223333:assumed-role/a/b/R/s",
            Principal("arn:aws-cn:sts::111122223333:assumed-role/a/b/R/s", PrincipalKind.SESSION, "R", "s"),
        ),
        (USER_ID, Principal(USER_ID, PrincipalKind.IDENTITY_CENTER_USER)),
        (USER_ID[11:], Principal(USER_ID[11:], PrincipalKind.IDENTITY_CENTER_USER)),
        (IAM_USER, Principal(IAM_USER, PrincipalKind.OTHER)),
        (FEDERATED, Principal(FEDERATED, PrincipalKind.OTHER)),
        ("", Principal("", PrincipalKind.OTHER)),
        (
            f"{OPERATOR}/more\n",
            Principal(f"{OPERATOR}/more\n", PrincipalKind.SESSION, "taro.yamada@example.com", "more\n"),
        ),
    ],
)
def test_sessions_and_identity_center_users_are_parsed_as_principals(text: str, expected: Principal) -> None:
    """Any other text is parsed without an error."""
    assert Principal.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "name"), [(OPERATOR, "taro.yamada@example.com"), (IAM_USER, "batch"), (USER_ID, USER_ID), ("", "")]
)
def test_principal_is_shown_by_session_name_or_last_part_of_its_arn(text: str, name: str) -> None:
    """A principal that is not an ARN is shown as it is."""
    assert Principal.parse(text).shown_name == name


# --- people


def test_spellings_of_a_person_are_ids_and_addresses_in_lower_case() -> None:
    """The spellings are in lower case, without surrounding space. Empty names are left out."""
    assert spellings_of(" A@Example.com ", "", None, "  ") == {"a@example.com"}
    assert Person("ID", "tenant", upn="U@example.com", mail="", teams_id="29:X").spellings == {
        "id",
        "u@example.com",
        "29:x",
    }


@pytest.mark.parametrize(
    ("upn", "name"),
    [
        ("hanako.sato@example.com", "hanako.sato@example.com"),
        ("guest_example.org#EXT#@example.com", HANAKO.object_id),
        ("佐藤@example.com", HANAKO.object_id),
        ("a" * 52 + "@example.com", "a" * 52 + "@example.com"),
        ("a" * 53 + "@example.com", HANAKO.object_id),
        ("a", HANAKO.object_id),
        ("evil@example.com\n", HANAKO.object_id),
        (None, HANAKO.object_id),
    ],
)
def test_session_name_of_a_person_is_the_upn_or_else_the_object_id(upn: str | None, name: str) -> None:
    """The session name is the UPN if STS accepts it (2 to 64 allowed characters), else the object id."""
    assert replace(HANAKO, upn=upn).session_name == name


def test_person_is_shown_by_name_else_upn_else_object_id() -> None:
    """An empty name counts as missing."""
    assert HANAKO.shown_name == "佐藤 花子"
    assert replace(HANAKO, name="").shown_name == "hanako.sato@example.com"
    assert replace(HANAKO, name="", upn=None).shown_name == HANAKO.object_id


# --- identifying requesters


@pytest.mark.parametrize("text", [SSO, OPERATOR, OPERATOR.replace("taro.yamada@e", "Taro.Yamada@E")])
def test_trusted_session_name_identifies_its_person(text: str) -> None:
    """The caller cannot choose the session name, and it is the address of exactly one person."""
    requester = identified(text)
    assert (requester.identified, requester.person, requester.name) == (True, TARO_PERSON, "山田 太郎")
    assert requester.is_person(TARO_PERSON)
    assert not requester.is_person(HANAKO)


@pytest.mark.parametrize("mark", ["#EXT#", "#ext#"])
def test_mail_of_a_person_from_another_tenant_identifies_no_one(mark: str) -> None:
    """The other tenant chose the address, so the address proves nothing. Its owner still counts as the requester."""
    external = replace(HANAKO, upn=f"hanako_example.org{mark}@example.com", mail="batch@example.com")
    requester = identified(BATCH.replace("/batch", "/batch@example.com"), directory=Directory((external, TARO_PERSON)))
    assert (requester.identified, requester.person) == (False, None)
    assert requester.is_person(external)


@pytest.mark.parametrize("text", [OPERATOR, FEDERATED, OPERATOR.replace("Operator", "operator")])
def test_name_chosen_by_the_caller_identifies_no_one(text: str) -> None:
    """Any caller could choose Taro's name. Taro still counts as the requester."""
    requester = identified(text, IdentityRules(trusted_roles=frozenset({"Somebody"})))
    assert (requester.identified, requester.person) == (False, None)
    assert requester.is_person(TARO_PERSON)
    assert not requester.is_person(HANAKO)


def test_role_that_only_resembles_identity_centers_is_not_trusted() -> None:
    """Without a setting, a role is trusted only if its name begins with `AWSReservedSSO_`, spelled exactly so."""
    for role in ("My_AWSReservedSSO_operator", "awsreservedsso_operator"):
        assert not identified(f"{ACCOUNT}:assumed-role/{role}/taro.yamada@example.com").identified


@pytest.mark.parametrize("session", ["taro.yamada", "taro.yamada@example.co", "xtaro.yamada@example.com", "taro"])
def test_session_name_that_is_only_part_of_an_address_identifies_no_one(session: str) -> None:
    """The session name must equal the whole address."""
    requester = identified(f"{ACCOUNT}:assumed-role/Operator/{session}")
    assert (requester.identified, requester.person, requester.name) == (False, None, session)


def test_mail_address_of_a_person_identifies_the_requester() -> None:
    """The mail address identifies the person even if the UPN is different."""
    other = replace(TARO_PERSON, upn="t.yamada@corp.example.com")
    assert identified(OPERATOR, directory=Directory((other,))).person == other


def test_address_of_two_people_identifies_neither_of_them() -> None:
    """The address does not show which of them made the request, so both count as the requester.

    A [people] entry with this address does not identify one of them either.
    """
    twin = replace(person(7), mail="taro.yamada@example.com")
    requester = identified(OPERATOR, directory=Directory((TARO_PERSON, twin, HANAKO)))
    assert (requester.identified, requester.person) == (False, None)
    assert [requester.is_person(each) for each in (TARO_PERSON, twin, HANAKO)] == [True, True, False]
    everything = replace(RULES, people={OPERATOR: "taro.yamada@example.com"}, people_domains=frozenset({"example.com"}))
    assert not identified(OPERATOR, everything, Directory((TARO_PERSON, twin))).identified


def test_person_in_two_rosters_counts_as_one_person() -> None:
    """Entries with the same object id, in upper or lower case, are one person."""
    again = replace(TARO_PERSON, object_id=TARO_PERSON.object_id.upper(), mail=None)
    assert identified(OPERATOR, directory=Directory((TARO_PERSON, again))).identified


# --- the admin's own list


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (BATCH, "taro.yamada@example.com"),
        (BATCH, "upn:Taro.Yamada@example.com"),
        (BATCH, f"user:{TARO_PERSON.object_id}"),
        (BATCH, TARO_PERSON.object_id),
        (IAM_USER, "taro.yamada@example.com"),
        (USER_ID, "taro.yamada@example.com"),
    ],
)
def test_people_entry_identifies_the_person_of_a_principal(text: str, entry: str) -> None:
    """An entry names a person by object id, UPN or mail.

    The principal may be a session of a trusted role, an IAM user or an Identity Center user.
    """
    assert identified(text, replace(RULES, people={text: entry})).person == TARO_PERSON


@pytest.mark.parametrize("text", [BATCH, FEDERATED, BATCH.replace("arn:aws:", "arn:aws-us-gov:"), f"{ACCOUNT}:odd"])
def test_people_entry_is_ignored_for_names_chosen_by_the_caller(text: str) -> None:
    """Otherwise anyone could pick the session name of an entry, in an untrusted role or as a federated user."""
    requester = identified(text, IdentityRules(people={text: "taro.yamada@example.com"}))
    assert (requester.identified, requester.person) == (False, None)


def test_people_entry_with_an_object_id_identifies_a_person_who_is_in_no_roster() -> None:
    """An address does so only with `allow_unmatched`. A person with this address counts as the requester."""
    entries = {BATCH: "gone@example.com"}
    for rules, expected in ((RULES, False), (replace(RULES, allow_unmatched=True), True)):
        requester = identified(BATCH, replace(rules, people=entries), Directory())
        assert (requester.identified, requester.person, requester.unmatched) == (expected, None, "gone@example.com")
        assert requester.is_person(replace(HANAKO, mail="Gone@example.com"))
    by_id = identified(BATCH, replace(RULES, people={BATCH: f"user:{HANAKO.object_id}"}), Directory())
    assert (by_id.identified, by_id.person, by_id.unmatched) == (True, None, "")


def test_people_entry_does_not_match_another_session_of_the_same_role() -> None:
    """An entry for one session of a role does not match another session of the same role."""
    assert not identified(BATCH + "2", replace(RULES, people={BATCH: "taro.yamada@example.com"})).identified


# --- people_domains and Identity Center


@pytest.mark.parametrize(
    ("session", "expected"),
    [
        ("new@example.com", True),
        ("New@EXAMPLE.com", True),
        ("new@sub.example.com", False),
        ("new@notexample.com", False),
        ("example.com", False),
        ("new@example.com@other.example", False),
    ],
)
def test_address_in_people_domains_identifies_a_person_if_unmatched_people_are_allowed(
    session: str, expected: bool
) -> None:
    """The setting is `allow_unmatched`. The person need not be in any roster. The whole domain must be equal."""
    rules = replace(RULES, people_domains=frozenset({"example.com"}))
    text = f"{ACCOUNT}:assumed-role/Operator/{session}"
    assert not identified(text, rules, Directory()).identified
    requester = identified(text, replace(rules, allow_unmatched=True), Directory())
    assert (requester.identified, requester.person) == (expected, None)


def test_people_domains_do_not_trust_names_chosen_by_the_caller() -> None:
    """The setting people_domains says which addresses belong to people, not who started a session."""
    rules = IdentityRules(people_domains=frozenset({"example.com"}), allow_unmatched=True)
    assert not identified(OPERATOR, rules, Directory()).identified


def test_identity_center_record_identifies_its_user() -> None:
    """With `allow_unmatched`, the user need not be in any roster, and the name in the record is shown."""
    directory = Directory((HANAKO, TARO_PERSON), ("taro.yamada@example.com", "Yamada Taro"))
    assert identified(USER_ID, directory=directory).person == TARO_PERSON
    unknown = identified(USER_ID, ALLOWING, replace(directory, people=()))
    assert (unknown.identified, unknown.person, unknown.name) == (True, None, "taro.yamada@example.com")
    assert unknown.is_person(TARO_PERSON)
    assert not identified(USER_ID, directory=replace(directory, people=())).identified


TWIN = replace(person(7), mail="taro.yamada@example.com")
GUEST = replace(person(8), upn="taro_example.org#EXT#@example.com", mail="t.yamada@example.com", guest=True)


@pytest.mark.parametrize(
    ("names", "people", "who"),
    [
        (("taro.yamada@example.com",), (HANAKO, TARO_PERSON), TARO_PERSON),
        (("Taro.Yamada@EXAMPLE.com", "taro.yamada@example.com"), (HANAKO, TARO_PERSON), TARO_PERSON),
        (("tyamada", " taro.yamada@example.com "), (HANAKO, TARO_PERSON), TARO_PERSON),
        (("tyamada@corp.example.net", "taro.yamada@example.com"), (HANAKO, TARO_PERSON), TARO_PERSON),
        (("", "taro.yamada@example.com"), (HANAKO, TARO_PERSON), TARO_PERSON),
        (("t.yamada@example.com",), (HANAKO, TARO_PERSON), "t.yamada@example.com"),
        (("tyamada", "t.yamada@example.com"), (), "tyamada"),
        (("t.yamada@example.com",), (HANAKO, GUEST), "t.yamada@example.com"),
        (("taro.yamada@example.com",), (HANAKO, TARO_PERSON, TWIN), None),
        (("taro.yamada@example.com", "hanako.sato@example.com"), (HANAKO, TARO_PERSON), None),
        (("tyamada",), (HANAKO, TARO_PERSON), None),
        (("@example.com",), (HANAKO, TARO_PERSON), None),
        (("tyamada@",), (HANAKO, TARO_PERSON), None),
        (("", "  "), (HANAKO, TARO_PERSON, person(9)), None),
        ((), (HANAKO, TARO_PERSON), None),
    ],
)
def test_identity_center_record_identifies_at_most_one_person(
    names: tuple[str, ...], people: tuple[Person, ...], who: Person | str | None
) -> None:
    """The requester is identified if the names match one person, or match no one and include an address."""
    requester = identified(USER_ID, ALLOWING, Directory(people, names))
    assert requester.identified is (who is not None)
    if isinstance(who, Person):
        assert (requester.person, requester.name) == (who, who.shown_name)
    elif who:
        assert (requester.person, requester.name) == (None, who)
    else:
        assert requester.person is None


@pytest.mark.parametrize("domains", [frozenset[str](), frozenset({"example.com"})])
def test_address_of_several_people_identifies_no_one_in_any_domain(domains: frozenset[str]) -> None:
    """The setting people_domains does not show which of two people made the request, so both are refused."""
    directory = Directory((TARO_PERSON, TWIN), ("taro.yamada@example.com",))
    requester = identified(USER_ID, replace(RULES, people_domains=domains), directory)
    assert not requester.identified
    assert requester.is_person(TARO_PERSON)
    assert requester.is_person(TWIN)


@pytest.mark.parametrize(
    "account",
    [
        TARO_PERSON,
        replace(person(11), mail="TARO.YAMADA@example.com"),
        replace(person(12), mail="tyamada@corp.example.net"),
        replace(person(13), upn="tyamada@corp.example.net"),
        replace(person(14), upn="tyamada_corp.example.net#EXT#@example.com", guest=True),
        replace(person(15), teams_id=TARO_PERSON.teams_id),
    ],
)
def test_person_with_any_name_in_the_identity_center_record_counts_as_the_requester(account: Person) -> None:
    """The names are those in the record, and each id and address of the person that a name matches."""
    names = ("tyamada@corp.example.net", "taro.yamada@example.com")
    requester = identified(USER_ID, directory=Directory((HANAKO, TARO_PERSON), names))
    assert requester.is_person(account)
    assert not requester.is_person(HANAKO)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("t.yamada@example.com",), True),
        (("tyamada", "t.yamada@example.com"), True),
        (("t.yamada@corp.example.net",), False),
        (("cccccccc-0000-4000-8000-000000000001", "t.yamada@corp.example.net"), False),
        (("cccccccc-0000-4000-8000-000000000001", "t.yamada@example.com"), True),
    ],
)
def test_requester_from_an_identity_center_record_is_compared_by_address(
    names: tuple[str, ...], expected: bool
) -> None:
    """Only addresses in the same domain are compared. A user name that looks like an object id proves nothing."""
    requester = identified(USER_ID, ALLOWING, Directory((), names))
    assert (requester.identified, requester.comparable_with(HANAKO)) == (True, expected)


@pytest.mark.parametrize("text", [OPERATOR, BATCH, FEDERATED, IAM_USER, SSO.replace("taro.yamada", "nobody"), ""])
def test_identity_center_record_has_no_effect_on_other_kinds_of_principals(text: str) -> None:
    """Only an Identity Center user is identified by a record."""
    rules, directory = IdentityRules(), Directory((HANAKO, TARO_PERSON), ("hanako.sato@example.com",))
    assert identified(text, rules, directory) == identified(text, rules, replace(directory, identity_center_names=()))


@pytest.mark.parametrize("text", [USER_ID, USER_ID[11:], USER_ID.upper()])
def test_people_entry_takes_precedence_over_the_identity_center_record(text: str) -> None:
    """If [people] has an entry for the user, the record is not needed and is ignored."""
    rules = replace(RULES, people={text: "taro.yamada@example.com"})
    assert [needs_record(text, each) for each in (RULES, rules)] == [True, False]
    requester = identified(text, rules, Directory((HANAKO, TARO_PERSON), ("hanako.sato@example.com",)))
    assert (requester.person, requester.is_person(HANAKO)) == (TARO_PERSON, False)


def test_person_from_an_earlier_read_of_the_record_still_counts_as_the_requester() -> None:
    """If the record cannot be read, no one is identified. The person found earlier still counts as the requester.

    Names that were found for another principal are not added.
    """
    known = identified(USER_ID, directory=Directory((TARO_PERSON,), ("t@example.com", "taro.yamada@example.com")))
    unread = identified(USER_ID, directory=Directory((TARO_PERSON,)))
    kept = unread.refusing_as(known)
    assert (kept.identified, kept.person, kept.name) == (False, None, "山田 太郎")
    assert kept.is_person(TARO_PERSON)
    assert not unread.is_person(TARO_PERSON)
    assert unread.refusing_as(None) == unread
    assert identified(USER_ID[11:]).refusing_as(known) == identified(USER_ID[11:])


def test_identity_center_user_without_a_record_is_unidentified() -> None:
    """A user id alone identifies no one."""
    assert not identified(USER_ID).identified


def test_names_that_the_caller_chose_are_not_looked_up() -> None:
    """The [people] entry comes first, then a trusted session name."""
    rules = replace(RULES, people={BATCH: "user:abc"})
    assert requester_names(BATCH, rules) == ("abc", "batch")
    assert requester_names(BATCH, IdentityRules(people={BATCH: "user:abc"})) == ()
